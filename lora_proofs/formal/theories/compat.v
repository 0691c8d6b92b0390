(** * Names that two versions of Mathematical Components do not share

    Mathematical Components 2 renamed many lemmas on ordered rings and on sizes
    of polynomials.  This development uses the new names; here they are proved
    from names that both versions have, so that it compiles with either.  A file
    that compares numbers imports [compat] and uses no other name for these
    facts.  Nothing here is about low-rank adaptation. *)
From mathcomp Require Import all_ssreflect all_algebra.
Set Implicit Arguments. Unset Strict Implicit. Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Sums.
Variable F : realDomainType.
Implicit Types x y z t : F.

Lemma lerD2l x y z : (x + y <= x + z) = (y <= z).
Proof. by rewrite -subr_ge0 opprD addrACA subrr add0r subr_ge0. Qed.

Lemma lerD2r x y z : (y + x <= z + x) = (y <= z).
Proof. by rewrite ![_ + x]addrC lerD2l. Qed.

Lemma ltrD2l x y z : (x + y < x + z) = (y < z).
Proof. by rewrite !ltNge lerD2l. Qed.

Lemma lerD x y z t : x <= y -> z <= t -> x + z <= y + t.
Proof. by move=> xy zt; apply: le_trans (_ : y + z <= _); rewrite ?lerD2l ?lerD2r. Qed.

Lemma lerDl x y : (x <= x + y) = (0 <= y).
Proof. by rewrite -{1}[x]addr0 lerD2l. Qed.

Lemma ltrDl x y : (x < x + y) = (0 < y).
Proof. by rewrite -{1}[x]addr0 ltrD2l. Qed.

Lemma gtrDl x y : (x + y < x) = (y < 0).
Proof. by rewrite -{2}[x]addr0 ltrD2l. Qed.

Lemma ltr_pwDl y x z : 0 < x -> y <= z -> y < x + z.
Proof. by move=> x0 yz; apply: le_lt_trans yz _; rewrite addrC ltrDl. Qed.

Lemma ltr_pwDr y x z : 0 < x -> y <= z -> y < z + x.
Proof. by rewrite addrC; apply: ltr_pwDl. Qed.

Lemma ltr_wpDl y x z : 0 <= x -> y < z -> y < x + z.
Proof. by move=> x0 yz; apply: lt_le_trans yz _; rewrite addrC lerDl. Qed.

Lemma ltr_wpDr y x z : 0 <= x -> y < z -> y < z + x.
Proof. by rewrite addrC; apply: ltr_wpDl. Qed.

Lemma lerBlDr x y z : (x - y <= z) = (x <= z + y).
Proof. by rewrite -[LHS](lerD2r y) subrK. Qed.

Lemma lerBlDl x y z : (x - y <= z) = (x <= y + z).
Proof. by rewrite lerBlDr addrC. Qed.

Lemma lerBrDr x y z : (x <= y - z) = (x + z <= y).
Proof. by rewrite -[LHS](lerD2r z) subrK. Qed.

Lemma lerBrDl x y z : (x <= y - z) = (z + x <= y).
Proof. by rewrite lerBrDr addrC. Qed.

Lemma lerNl x y : (- x <= y) = (- y <= x).
Proof. by rewrite -[- x]add0r lerBlDl -[- y]add0r lerBlDr addrC. Qed.

Lemma ltrBlDr x y z : (x - y < z) = (x < z + y).
Proof. by rewrite !ltNge lerBrDr. Qed.

Lemma ltrBlDl x y z : (x - y < z) = (x < y + z).
Proof. by rewrite !ltNge lerBrDl. Qed.

Lemma ltrBrDr x y z : (x < y - z) = (x + z < y).
Proof. by rewrite !ltNge lerBlDr. Qed.

Lemma ltrBrDl x y z : (x < y - z) = (z + x < y).
Proof. by rewrite !ltNge lerBlDl. Qed.

Lemma lerN2 x y : (- x <= - y) = (y <= x).
Proof. by rewrite lerNl opprK. Qed.

Lemma ler_normD x y : `|x + y| <= `|x| + `|y|.
Proof.
have twice z : - `|z| <= z <= `|z| by rewrite lerNl -{1}normrN !ler_norm.
have /andP[x1 x2] := twice x; have /andP[y1 y2] := twice y.
by rewrite ler_norml opprD !lerD.
Qed.

Lemma lerMn2r n x y : (x *+ n <= y *+ n) = ((n == 0%N) || (x <= y)).
Proof.
case: n => [|n]; first by rewrite !mulr0n lexx.
by rewrite -subr_ge0 -mulrnBl -mulr_natr pmulr_lge0 ?ltr0Sn // subr_ge0.
Qed.

End Sums.

Section Products.
Variable F : realFieldType.
Implicit Types x y z t : F.

Lemma ler_pM2l x : 0 < x -> forall y z, (x * y <= x * z) = (y <= z).
Proof. by move=> x0 y z; rewrite -subr_ge0 -mulrBr pmulr_rge0 // subr_ge0. Qed.

Lemma ler_pM2r x : 0 < x -> forall y z, (y * x <= z * x) = (y <= z).
Proof. by move=> x0 y z; rewrite ![_ * x]mulrC ler_pM2l. Qed.

Lemma ltr_pM2l x : 0 < x -> forall y z, (x * y < x * z) = (y < z).
Proof. by move=> x0 y z; rewrite !ltNge ler_pM2l. Qed.

Lemma ltr_pM2r x : 0 < x -> forall y z, (y * x < z * x) = (y < z).
Proof. by move=> x0 y z; rewrite !ltNge ler_pM2r. Qed.

Lemma ler_wpM2l x y z : 0 <= x -> y <= z -> x * y <= x * z.
Proof. by move=> x0 yz; rewrite -subr_ge0 -mulrBr mulr_ge0 // subr_ge0. Qed.

Lemma ler_wpM2r x y z : 0 <= x -> y <= z -> y * x <= z * x.
Proof. by rewrite ![_ * x]mulrC; apply: ler_wpM2l. Qed.

Lemma ler_pM x1 y1 x2 y2 : 0 <= x1 -> 0 <= x2 -> x1 <= y1 -> x2 <= y2 -> x1 * x2 <= y1 * y2.
Proof.
move=> x10 x20 xy1 xy2; apply: le_trans (_ : x1 * y2 <= _); first exact: ler_wpM2l.
by apply: ler_wpM2r => //; apply: le_trans xy2.
Qed.

Lemma gtr_pMl x y : 0 < y -> (x * y < y) = (x < 1).
Proof. by move=> y0; rewrite -{2}[y]mul1r ltr_pM2r. Qed.

Lemma ler_piMl x y : 0 <= y -> x <= 1 -> x * y <= y.
Proof. by move=> y0 x1; rewrite -{2}[y]mul1r ler_wpM2r. Qed.

Lemma ler_piMr x y : 0 <= y -> x <= 1 -> y * x <= y.
Proof. by move=> y0 x1; rewrite -{2}[y]mulr1 ler_wpM2l. Qed.

Lemma ltrN2 x y : (- x < - y) = (y < x).
Proof. by rewrite !ltNge lerN2. Qed.

Lemma ler_peMl x y : 0 <= y -> 1 <= x -> y <= x * y.
Proof. by move=> y0 x1; rewrite -{1}[y]mul1r ler_wpM2r. Qed.

Lemma ler_peMr x y : 0 <= y -> 1 <= x -> y <= y * x.
Proof. by move=> y0 x1; rewrite -{1}[y]mulr1 ler_wpM2l. Qed.

Lemma ler_pdivrMr z x y : 0 < z -> (y / z <= x) = (y <= x * z).
Proof. by move=> z0; rewrite -[LHS](ler_pM2r z0) divfK // gt_eqF. Qed.

Lemma ler_pdivlMr z x y : 0 < z -> (x <= y / z) = (x * z <= y).
Proof. by move=> z0; rewrite -[LHS](ler_pM2r z0) divfK // gt_eqF. Qed.

Lemma ltr_pdivrMr z x y : 0 < z -> (y / z < x) = (y < x * z).
Proof. by move=> z0; rewrite !ltNge ler_pdivlMr. Qed.

Lemma ltr_pdivlMr z x y : 0 < z -> (x < y / z) = (x * z < y).
Proof. by move=> z0; rewrite !ltNge ler_pdivrMr. Qed.

(** squares of numbers that are not negative *)
Lemma ler_sq x y : 0 <= x -> 0 <= y -> (x ^+ 2 <= y ^+ 2) = (x <= y).
Proof.
move=> x0 y0; apply/idP/idP=> [|xy]; last by rewrite !expr2 ler_pM.
by apply: contraTT; rewrite -!ltNge !expr2 => yx; apply: le_lt_trans (ler_wpM2l y0 (ltW yx)) _;
  rewrite ltr_pM2r // (le_lt_trans y0 yx).
Qed.

End Products.

Section Extrema.
Variable F : realDomainType.
Implicit Types x y z : F.

Lemma ge_max z x y : (Num.max x y <= z) = (x <= z) && (y <= z).
Proof.
case: (leP x y) => [xy|/ltW yx]; first by apply/idP/andP=> [yz|[]//]; rewrite (le_trans xy yz).
by apply/idP/andP=> [xz|[]//]; rewrite (le_trans yx xz).
Qed.

Lemma le_max z x y : (z <= Num.max x y) = (z <= x) || (z <= y).
Proof.
case: (leP x y) => [xy|/ltW yx]; first by rewrite orbC; case: (leP z y) => // yz; rewrite leNgt (le_lt_trans xy yz).
by case: (leP z x) => // xz; rewrite leNgt (le_lt_trans yx xz).
Qed.

Lemma ge_min z x y : (Num.min x y <= z) = (x <= z) || (y <= z).
Proof.
case: (leP x y) => [xy|/ltW yx]; first by case: (leP x z) => // zx; rewrite leNgt (lt_le_trans zx xy).
by rewrite orbC; case: (leP y z) => // zy; rewrite leNgt (lt_le_trans zy yx).
Qed.

Lemma le_min z x y : (z <= Num.min x y) = (z <= x) && (z <= y).
Proof.
case: (leP x y) => [xy|/ltW yx]; first by apply/idP/andP=> [zx|[]//]; rewrite (le_trans zx xy).
by apply/idP/andP=> [zy|[]//]; rewrite (le_trans zy yx).
Qed.

Lemma lt_min z x y : (z < Num.min x y) = (z < x) && (z < y).
Proof. by rewrite !ltNge ge_min negb_or. Qed.

Lemma gt_max z x y : (Num.max x y < z) = (x < z) && (y < z).
Proof. by rewrite !ltNge le_max negb_or. Qed.

End Extrema.

Section Sizes.
Variable F : fieldType.
Implicit Types p q : {poly F}.

Lemma size_polyD p q : (size (p + q)%R <= maxn (size p) (size q))%N.
Proof.
apply/leq_sizeP=> i; rewrite geq_max => /andP[pi qi].
by rewrite coefD !nth_default ?addr0.
Qed.

Lemma size_polyN p : size (- p) = size p.
Proof.
suff le q : (size (- q)%R <= size q)%N by apply/eqP; rewrite eqn_leq le /= -{1}[p]opprK le.
by apply/leq_sizeP=> i qi; rewrite coefN nth_default ?oppr0.
Qed.

Lemma size_polyMleq p q : (size (p * q)%R <= (size p + size q).-1)%N.
Proof.
have [->|p0] := eqVneq p 0; first by rewrite mul0r size_poly0.
have [->|q0] := eqVneq q 0; first by rewrite mulr0 size_poly0.
by rewrite size_mul.
Qed.

End Sizes.
