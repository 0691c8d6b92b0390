(* Counts of parameters, thresholds and partitions of Zeng & Lee, for all sizes.

   [narrower_partition]  says: whatever the partition of L layers into Lbar blocks, some block has at most floor(L / Lbar) layers, so for weights whose
     gaps are all D no partition needs a smaller uniform rank than ceil(D / floor(L / Lbar)).
   [rank_ratio]  says: Lbar | L: the least R with D <= R L / Lbar is ceil(D Lbar / L).
   [parameters_split]  says: at the threshold sum of R_l = D the adapters have 2 D^2 parameters, however split.
   [parameters_random]  says: if Lbar | L and L / Lbar | D, Corollary 4 spends 2 R D L = 2 D^2 Lbar parameters.
   [parameters_final_layers]  says: 2 D^2 < (L - 1) D^2 from L = 4 on (and not for L <= 3).
   [parameters_transformer]  says: at R = D / 2 the adapters of Theorem 7 have as many parameters, (4 H L + 2) D^2, as the matrices that they adapt.
   [gauge_unique]  says: the pairs (B, A) with the same update of full rank R are one orbit (B G, A G^-T); so the updates have R (2D - R) = 2DR - R^2 dimensions.
     differs: the dimension itself is counted in the sentence, not in the kernel. *)
From mathcomp Require Import all_ssreflect all_algebra.
Set Implicit Arguments. Unset Strict Implicit. Unset Printing Implicit Defensive.
Import GRing.Theory.

(* the least R with D <= R * M *)
Definition ceil_div D M := ((D + M.-1) %/ M)%N.

Lemma ceil_divP D M R : (0 < M)%N -> (ceil_div D M <= R)%N = (D <= R * M)%N.
Proof.
by case: M => // M _; rewrite /ceil_div -ltnS ltn_divLR // mulSn [(D + _)%N]addnC addSn ltnS leq_add2l.
Qed.

(* blocks sh of L layers in all: D <= R |P_i| for all blocks implies R >= ceil (D / floor (L / Lbar)) *)
Theorem narrower_partition D R (sh : seq nat) : (0 < size sh <= sumn sh)%N -> all (fun s => D <= R * s)%N sh ->
  (ceil_div D (sumn sh %/ size sh) <= R)%N.
Proof.
case/andP=> s0 sL; have M0 : (0 < sumn sh %/ size sh)%N by rewrite divn_gt0.
rewrite ceil_divP // => /allP h; have [s ssh sM] : exists2 s, s \in sh & (s <= sumn sh %/ size sh)%N.
  apply/hasP; rewrite -[has _ _]negbK -all_predC; apply/negP=> /allP big.
  have : (size sh * (sumn sh %/ size sh).+1 <= sumn sh)%N.
    elim: sh (_ %/ _)%N big {s0 sL M0 h} => //= s sh IH M big.
    rewrite mulSn leq_add //; last by apply: IH => t tsh; apply: big; rewrite in_cons tsh orbT.
    by have := big s; rewrite in_cons eqxx -ltnNge => /(_ isT).
  by rewrite mulnC -leq_divRL // ltnn.
by apply: leq_trans (h s ssh) _; rewrite leq_mul2l sM orbT.
Qed.

Theorem rank_ratio D L Lbar : (0 < L)%N -> Lbar %| L -> ceil_div D (L %/ Lbar) = ceil_div (D * Lbar) L.
Proof.
move=> L0 dL; have b0 : (0 < Lbar)%N by case: Lbar dL => //; rewrite dvd0n => /eqP L00; rewrite L00 in L0.
have M0 : (0 < L %/ Lbar)%N by rewrite divn_gt0 // dvdn_leq.
have e R : (ceil_div D (L %/ Lbar) <= R)%N = (ceil_div (D * Lbar) L <= R)%N.
  by rewrite !ceil_divP // -{2}(divnK dL) mulnA leq_pmul2r.
by apply/eqP; rewrite eqn_leq e leqnn -e leqnn.
Qed.

Theorem parameters_split D (Rs : seq nat) : sumn Rs = D -> sumn [seq (D + D) * R | R <- Rs]%N = (2 * D ^ 2)%N.
Proof.
move=> <-; set D' := sumn Rs; have -> : sumn [seq (D' + D') * R | R <- Rs]%N = ((D' + D') * sumn Rs)%N.
  by clearbody D'; elim: Rs => [|R Rs IH] /=; rewrite ?muln0 // IH -mulnDr.
by rewrite -/D' addnn -mul2n -mulnA mulnn.
Qed.

Theorem parameters_random D R L Lbar : (0 < Lbar)%N -> Lbar %| L -> (0 < L %/ Lbar)%N -> L %/ Lbar %| D ->
  R = ceil_div D (L %/ Lbar) -> (2 * R * D * L = 2 * D ^ 2 * Lbar)%N.
Proof.
move=> b0 dL M0 dD ->; have -> : ceil_div D (L %/ Lbar) = (D %/ (L %/ Lbar))%N.
  by apply/eqP; rewrite eqn_leq ceil_divP // divnK // leqnn /= leq_div2r // leq_addr.
rewrite -{2}(divnK dL) -!mulnA; congr (2 * _)%N; rewrite !mulnA [(_ * D)%N]mulnC -(mulnA D) divnK //.
Qed.

Theorem parameters_final_layers D L : (0 < D)%N -> (2 * D ^ 2 < (L - 1) * D ^ 2)%N = (3 < L)%N.
Proof. by move=> D0; rewrite ltn_pmul2r ?expn_gt0 ?D0 // ltn_subRL. Qed.

Theorem parameters_transformer D R H L : D = (2 * R)%N -> ((4 * H * L + 2) * (2 * D * R) = (4 * H * L + 2) * D ^ 2)%N.
Proof. by move=> ->; congr (_ * _)%N; rewrite expnS expn1 -!mulnA; congr (2 * _)%N; rewrite mulnCA. Qed.

Local Open Scope ring_scope.
Theorem gauge_unique (F : fieldType) m n R (B B' : 'M[F]_(m, R)) (A A' : 'M[F]_(R, n)) :
  \rank B = R -> \rank A = R -> B *m A = B' *m A' -> exists2 G : 'M[F]_R, G \in unitmx & B' = B *m G /\ A' = invmx G *m A.
Proof.
move=> rB rA BA; have Af : row_free A by apply/eqP.
have Bf : row_free B^T by rewrite /row_free mxrank_tr rB.
have rBA : \rank (B' *m A') = R by rewrite -BA mxrankMfree.
have Af' : row_free A'.
  by rewrite /row_free eqn_leq rank_leq_row -{1}rBA mxrankM_maxr.
have /row_freeP[A1 AA] := Af'; have /row_freeP[A2 AA2] := Af; have /row_freeP[B1 BB] := Bf.
have BB1 : B1^T *m B = 1%:M by apply: trmx_inj; rewrite trmx_mul trmxK trmx1.
pose G := A *m A1; have eB : B' = B *m G by rewrite /G mulmxA BA -mulmxA AA mulmx1.
have eA : A = G *m A' by rewrite -[LHS]mul1mx -BB1 -mulmxA BA eB -(mulmxA B) mulmxA BB1 mul1mx.
have Gu : G \in unitmx.
  by rewrite -row_free_unit; apply/row_freeP; exists (A' *m A2); rewrite mulmxA -eA.
by exists G => //; split=> //; rewrite eA mulKmx.
Qed.
