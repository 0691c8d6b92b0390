(** * Controls: beside each main theorem a weakening that is refuted

    Each theorem here says that a main theorem would be false with one hypothesis
    dropped or one number changed, so that its statement is not true for a
    trivial reason.
      Lemma 1 as an equivalence   [singular_control], [one_less], [minus_one_control]
      Lemma 1 with norms          [norm_one_less], [norm_control]
      Lemma 2                     [relu_control]
      Theorem 3                   [theorem3_control]
      Theorem 6                   [theorem6_control]
      Theorem 7                   [theorem7_control]
      Theorem 3.1                 [theorem31_control]
      deficient => global         [deficient_control]
      r >= d                      [rank_control]
      variational nuclear norm    [nuclear_control] *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp Require Import ring.
From LoraProofs Require Import compat vectors chain relu tightness svd transformer landscape nuclear existence.
Set Implicit Arguments. Unset Strict Implicit. Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Lemma1.
Variable F : fieldType.

(** Lemma 1 with singular layers: two zero layers of the plane do not become the identity by adapters of rank 1 ... *)
Theorem singular_control : ~ exists2 Ds, ranks_le Ds [:: 1%N; 1%N] &
  chain (adapted [:: 0; 0] Ds) = (1%:M : 'M[F]_2).
Proof.
case=> [[|D1 [|D2 [|D3 Ds]]]] //=; try by rewrite /ranks_le /= ?andbF.
rewrite /ranks_le /= => /andP[r1 /andP[r2 _]].
rewrite mul1mx !add0r => defI; have := mxrankM_maxl D2 D1.
by rewrite defI mxrank1 => /leq_trans/(_ r2).
Qed.

(** ... although the rank condition holds *)
Theorem singular_control_rank :
  (\rank (1%:M - chain [:: 0; 0] : 'M[F]_2)%R <= sumn [:: 1%N; 1%N])%N.
Proof. exact: rank_leq_row. Qed.

(** Lemma 1 with ranks whose sum is too small, whatever the frozen layers *)
Theorem one_less n (Ws : seq 'M[F]_n) (Rs : seq nat) (T : 'M[F]_n) : size Ws = size Rs ->
  (sumn Rs < \rank (T - chain Ws)%R)%N ->
  ~ exists2 Ds, ranks_le Ds Rs & chain (adapted Ws Ds) = T.
Proof.
move=> sz lt [Ds Dr defT]; move: lt; rewrite ltnNge -defT => /negP; apply.
by apply: leq_trans (rank_change _) (ranks_le_sum Dr); rewrite (ranks_le_size Dr).
Qed.

Lemma rank_minus_two n : 2%:R != 0 :> F -> \rank (- 1%:M - 1%:M : 'M[F]_n) = n.
Proof. by move=> two0; rewrite -opprD mxrank_opp -mulr2n -scaler_nat (eqmx_scale _ two0) mxrank1. Qed.

(** an instance: frozen identity of the plane, target -I, one layer of rank one (not in characteristic 2) *)
Theorem minus_one_control : 2%:R != 0 :> F ->
  ~ exists2 Ds, ranks_le Ds [:: 1%N] & chain (adapted [:: 1%:M] Ds) = (- 1%:M : 'M[F]_2).
Proof. by move=> two0; apply: one_less => //=; rewrite mul1mx rank_minus_two. Qed.

End Lemma1.

Section Norms.
Variable F : realFieldType.

(** Lemma 1 with norms: the next singular value is not reached, wherever it is smaller *)
Theorem norm_one_less n (Ws : seq 'M[F]_n) Rs (T : 'M[F]_n) U d V : size Ws = size Rs -> (0 < n)%N ->
  is_svd (T - chain Ws) U d V -> sigma d (sumn Rs).+1 < sigma d (sumn Rs) ->
  ~ exists2 Ds, ranks_le Ds Rs & forall x : 'cV[F]_n,
      sqnorm ((chain (adapted Ws Ds) - T) *m x) <= sigma d (sumn Rs).+1 ^+ 2 * sqnorm x.
Proof.
move=> sz n0 E lt [Ds Dr close].
have szD : size Ws = size Ds by rewrite (ranks_le_size Dr).
have [x x0 far] := lemma1_lower szD E n0; have := le_trans far (close x); apply/negP; rewrite -ltNge.
have xpos : 0 < sqnorm x by rewrite sqnorm_gt0.
have sigma0 k : 0 <= sigma d k by case: E => _ _ _ d0 _; rewrite /sigma; case: insubP => //=.
have mono : sigma d (sumn Rs) <= sigma d (\sum_(D <- Ds) \rank D).
  have le := ranks_le_sum Dr; case: E => _ _ _ d0 dd; rewrite /sigma.
  case: insubP => [i _ iE|_] /=; last by case: insubP => //= i *; apply: d0.
  by rewrite insubT ?(leq_ltn_trans le) -?iE //= => lt'; apply: dd; rewrite /= iE.
rewrite ltr_pM2r //; apply: lt_le_trans (_ : sigma d (sumn Rs) ^+ 2 <= _); last by rewrite ler_sq.
by rewrite ltNge ler_sq // -ltNge.
Qed.

(** an instance: frozen identity of the plane, target diag(2, 1), rank 0: the error is not sigma_2 = 0 *)
Theorem norm_control (T : 'M[F]_2) (d : 'rV[F]_2) : T = 1%:M + delta_mx 0 0 -> d = delta_mx 0 0 ->
  is_svd (T - chain [:: 1%:M]) 1%:M d 1%:M /\
  ~ exists2 Ds, ranks_le Ds [:: 0%N] & forall x : 'cV[F]_2,
      sqnorm ((chain (adapted [:: 1%:M] Ds) - T) *m x) <= sigma d 1 ^+ 2 * sqnorm x.
Proof.
move=> -> ->.
have E : is_svd (1%:M + delta_mx 0 0 - chain [:: 1%:M]) 1%:M (delta_mx 0 0 : 'rV[F]_2) (1%:M : 'M_2).
  split; rewrite ?trmx1 ?mulmx1 //= ?mul1mx.
  - rewrite addrC addKr; apply/matrixP=> i j; rewrite !mxE.
    by case: i j => [[|[|?]] ?] [[|[|?]] ?].
  - by move=> i; rewrite mxE ler0n.
  by move=> i j ij; rewrite !mxE ler_nat; case: i j ij => [[|[|?]] ?] [[|[|?]] ?].
split=> //; have /= less := @norm_one_less 2 [:: 1%:M] [:: 0%N] _ _ _ _ erefl isT E.
by apply: less; rewrite /sigma !insubT //= !mxE /= ltr01.
Qed.

End Norms.

Section Networks.
Variable F : realFieldType.

(** Lemma 2: target relu(-x + 1) in the plane, frozen identities, any depth, ranks summing to at most one *)
Theorem relu_control (L : nat) (Rs : seq nat) (Ws := nseq L.+1 (1%:M : 'M[F]_2)) :
  size Rs = L.+1 -> (sumn Rs <= 1)%N ->
  ~ exists Ds bs, [/\ ranks_le Ds Rs, size bs = L.+1 &
     forall x, box 0 1 x -> net (zip (adapted Ws Ds) bs) x = relu (- 1%:M *m x + const_mx 1)].
Proof.
move=> szR sR [Ds [bs [Dr szb netP]]].
have Tu : (- 1%:M : 'M[F]_2) \in unitmx by rewrite -scaleN1r unitmxZ ?unitmx1 // unitrN unitr1.
have active x : box 0 1 x -> forall i, 0 <= (- 1%:M *m x + const_mx 1 : 'cV[F]_2) i 0.
  move=> xb i; rewrite mulNmx mul1mx !mxE addrC subr_ge0.
  by have := xb i; rewrite mxE subr0 => /(le_trans (ler_norm _)).
have [||x xb|_] := @necessary F 2 Ws Ds bs (- 1%:M) (const_mx 1) 0 1 ltr01 Tu.
- by rewrite (ranks_le_size Dr) size_nseq.
- by rewrite size_nseq.
- by rewrite netP // relu_id //; apply: active.
have -> : chain Ws = 1%:M by rewrite /Ws; elim: (L.+1) => //= k ->; rewrite mulmx1.
rewrite rank_minus_two ?pnatr_eq0 //.
by move/leq_trans/(_ (ranks_le_sum Dr))/leq_trans/(_ sR).
Qed.

(** Theorem 3 without its rank condition: one frozen layer, one target layer, R = 1 < 2 *)
Theorem theorem3_control (target := [:: (- 1%:M : 'M[F]_2, const_mx 1 : 'cV[F]_2)]) :
  ~ exists Ds bs, [/\ size Ds = 1%N, all (fun D : 'M[F]_2 => \rank D <= 1)%N Ds, size bs = 1%N &
     forall x, box 0 1 x -> net (zip (adapted [:: 1%:M] Ds) bs) x = net target x].
Proof.
case=> Ds [bs [szD Dr szb netP]]; apply: (@relu_control 0 [:: 1%N]) => //.
by exists Ds, bs; split=> //; case: Ds szD Dr {netP} => [|D []] //= _; rewrite /ranks_le /= !andbT.
Qed.

(** Theorem 6 with singular layers: two zero layers in one block, ranks 1 and 1, target relu(x + 1) *)
Theorem theorem6_control (target := [:: (1%:M : 'M[F]_2, const_mx 1 : 'cV[F]_2)]) :
  ~ exists Ds bs, [/\ ranks_le Ds [:: 1%N; 1%N], size bs = 2%N &
     forall x, box 0 1 x -> net (zip (adapted [:: 0; 0] Ds) bs) x = net target x].
Proof.
case=> Ds [bs [Dr szb netP]]; apply: (@singular_control F); exists Ds => //.
have active x : box 0 1 x -> forall i, 0 <= (1%:M *m x + const_mx 1 : 'cV[F]_2) i 0.
  move=> xb i; rewrite mul1mx !mxE -lerBlDr sub0r lerNl.
  by have := xb i; rewrite mxE subr0 -normrN => /(le_trans (ler_norm _)).
have [||x xb|->] // := @necessary F 2 [:: 0; 0] Ds bs 1%:M (const_mx 1) 0 1 ltr01 (unitmx1 _ _).
- exact: ranks_le_size Dr.
- by rewrite netP //= relu_id //; apply: active.
Qed.

End Networks.

(** Theorem 7 without its rank conditions: one block, one head, one token, constant softmax, no activation; all
    frozen matrices are the identity, the target has value matrix -I.  Five layers act on the token, four of them
    adapted, so that 4 R < D is too little. *)
Section Attention.
Variables (F : fieldType) (D R : nat).
Let sm (S : 'M[F]_1) : 'M[F]_1 := 1%:M.
Let phi (Z : 'M[F]_(D, 1)) := Z.
Let one : 'I_1 -> 'M[F]_D := fun _ => 1%:M.
Let frozen := Block one one one one 1%:M 1%:M 0 0.
Let target := Block one one (fun _ => - 1%:M) one 1%:M 1%:M 0 0.

Theorem theorem7_control : 2%:R != 0 :> F -> (4 * R < D)%N ->
  ~ exists Bl' Wo', [/\ W1 Bl' = W1 frozen, heads_adapted R frozen Bl',
    (\rank (W2 Bl' - W2 frozen)%R <= R)%N /\ (\rank (Wo' - 1%:M : 'M[F]_D)%R <= R)%N &
    forall Z, tfn sm phi [::] Bl' Wo' Z = tfn sm phi [::] target 1%:M Z].
Proof.
move=> two0 RD [B [Wo [/= eW1 heads [r2 ro] same]]]; have [_ _ rV rO] := heads 0.
pose P := Wo *m (W2 B *m (WO B 0 *m WV B 0)).
have linear (Z : 'cV[F]_D) : P *m Z = - Z.
  have stepE Y : tfn sm phi [::] B Wo Y = P *m Y + tfn sm phi [::] B Wo 0.
    rewrite /tfn /= /step /hidden /phi /attn !big_ord1 /sm !mulmx1 eW1 !mul1mx !mulmx0 add0r.
    by rewrite !mulmxDr /P !mulmxA !addrA.
  have := stepE Z; rewrite !same /tfn /= /step /hidden /phi /attn !big_ord1 /sm !mulmx1 /spread !mul0mx !addr0.
  by rewrite !mul1mx !mulmx0 addr0 mulNmx mul1mx => ->.
have PE : P = - 1%:M.
  by apply/matrixP=> i j; have /colP/(_ i) := linear (delta_mx j 0); rewrite -colE !mxE => ->; rewrite !eqxx andbT.
have := @rank_change F D (nseq 4 1%:M) [:: WV B 0 - 1%:M; WO B 0 - 1%:M; W2 B - 1%:M; Wo - 1%:M] erefl.
rewrite /= !big_cons big_nil !(addrC 1%:M) !subrK !mul1mx -!mulmxA -/P PE rank_minus_two // addn0.
apply/negP; rewrite -ltnNge; apply: leq_ltn_trans RD.
by rewrite (_ : 4 * R = R + (R + (R + R)))%N ?leq_add // !mulSn mul0n addn0.
Qed.
End Attention.

Section Landscape.
Variable F : realFieldType.

(** Deficient => global without convexity: the loss -x^2 with |u|^2 + |v|^2 has the local minimum u = v = 0, of
    rank 0 < 1, which is not global. *)
Theorem deficient_control (ell := fun X : 'M[F]_1 => - X 0 0 ^+ 2) (S0 := 1%:M : 'M[F]_(1 + 1)) (u := 0 : 'M[F]_1) :
  [/\ derivative ell (u *m u^T) 0, local_min ell S0 u u, u *m (1%:M : 'cV[F]_1) = 0 &
     obj ell S0 (2%:R%:M : 'M[F]_1) 2%:R%:M < obj ell S0 u u].
Proof.
have obj0 : obj ell S0 u u = 0.
  by rewrite /obj /ell form_scalar sqnorm_col_mx sqnorm0 addr0 mulr0 addr0 mul0mx mxE expr0n oppr0.
split; last 2 first.
- exact: mul0mx.
- rewrite obj0 /obj /ell form_scalar sqnorm_col_mx sqnorm_scalar tr_scalar_mx -scalar_mxM mxE eqxx mulr1n mul1r.
  by rewrite -!natrX -natrM -natrD -natrX addrC subr_lt0 ltr_nat.
- move=> E e e0; exists 1 => [|s s0 _]; first exact: ltr01.
  rewrite mul0mx add0r inner0l mulr0 subr0 /ell !mxE expr0n oppr0 add0r.
  by apply: le_trans (_ : 0 <= _); rewrite ?oppr_le0 ?sqr_ge0 // mulr_ge0 // ltW.
move=> x y; have q1 : 0 < `|y 0 0| + 1 by rewrite ltr_wpDl ?ltr01.
exists (`|y 0 0| + 1)^-1 => [|t t0]; first by rewrite invr_gt0.
rewrite -[X in _ < X]div1r ltr_pdivlMr // => tq.
have entry (X : 'M[F]_1) : sqnorm X = X 0 0 ^+ 2 by rewrite sqnormE mxE big_ord1 mxE expr2.
have -> : obj ell S0 (u + t *: x) (u + t *: y) = (t * x 0 0) ^+ 2 + (t * y 0 0) ^+ 2 - (t * x 0 0 * (t * y 0 0)) ^+ 2.
  by rewrite /obj /ell form_scalar !add0r sqnorm_col_mx mul1r !entry addrC !mxE big_ord1 !mxE.
rewrite obj0 subr_ge0 exprMn; apply: le_trans (_ : (t * x 0 0) ^+ 2 <= _); last by rewrite lerDl sqr_ge0.
rewrite ler_piMr ?sqr_ge0 // -real_normK ?num_real // exprn_ile1 // normrM gtr0_norm //.
by apply: le_trans (ltW tq); rewrite ler_pM2l // lerDl ler01.
Qed.

(** r >= d with one factor less than functionals: d = 1, r = 0 *)
Theorem rank_control (G := fun _ : 'I_1 => 1%:M : 'M[F]_1) (rho := fun _ : 'I_1 => 1 : F)
    (u := 0 : 'M[F]_(1, 0)) (S := slack (0 / 2%:R)%:M (\sum_k rho k *: G k)) :
  [/\ S *m col_mx u u = 0, forall x y, 0 <= hess G rho 0 1%:M u u x y &
     exists z : 'cV[F]_(1 + 1), form S z < 0].
Proof.
split; first by apply/matrixP=> i [].
- move=> x y; rewrite /hess /form /mxtrace big_ord0 mulr0 add0r.
  have -> : dfeat G u u x y = 0.
    apply/rowP=> k; rewrite [LHS]mxE [RHS]mxE (_ : _ + _ = 0) ?inner0r //.
    by apply/matrixP=> i j; rewrite !mxE !big_ord0 addr0.
  by rewrite !mul0mx mxE.
exists (col_mx 1%:M 1%:M); rewrite slackE form_scalar mul0r mul0r sub0r oppr_lt0 big_ord1 scale1r.
by rewrite /inner /G !tr_scalar_mx !mul1mx mxtrace1 ltr01.
Qed.

(** the variational nuclear norm without orthonormal columns: U = 0 *)
Theorem nuclear_control (U := 0 : 'M[F]_1) (V := 1%:M : 'M[F]_1) (s := const_mx 1 : 'rV[F]_1) (u := 0 : 'M[F]_1) :
  u *m u^T = U *m diag_mx (\row_i (s 0 i ^+ 2)) *m V^T /\
  ~~ ((\sum_i s 0 i ^+ 2) *+ 2 <= sqnorm u + sqnorm u).
Proof.
split; first by rewrite !mul0mx.
by rewrite sqnorm0 addr0 big_ord1 mxE expr1n -ltNge ltr0n.
Qed.

End Landscape.

(** Theorem 3.1 with a strict inequality: one functional, the risk (u v - 1)^2 + 3/4 (|u|^2 + |v|^2); its minimum is
    at u = v = 1/2, and no factors of a width with r(r+1)/2 < 1 reach it. *)
Section OneFunctional.
Variable F : rcfType.
Let G : 'I_1 -> 'M[F]_1 := fun _ => 1%:M.
Let phi (f : 'rV[F]_1) : F := (f 0 0 - 1) ^+ 2.
Let u : 'M[F]_1 := (1 / 2%:R)%:M.

Theorem theorem31_control (risk_here := fun r => @risk F 1 1 1 G phi (3%:R / 4%:R) r) :
  (forall r u' v', risk_here 1%N u u <= risk_here r u' v') /\
  forall r u' v', ('C(r.+1, 2) < 1)%N -> risk_here 1%N u u < risk_here r u' v'.
Proof.
have riskE r (a b : 'M[F]_(1, r)) : risk_here r a b = (inner a b - 1) ^+ 2 + 3%:R / 4%:R * (sqnorm a + sqnorm b).
  rewrite /risk_here /risk /phi mxE /G; congr ((_ - 1) ^+ 2 + _).
  by rewrite /inner /G tr_scalar_mx mul1mx mxtrace_mulC -mxtrace_tr trmx_mul trmxK.
have uE : risk_here 1%N u u = 15%:R / 16%:R.
  by rewrite riskE /u -/(sqnorm _) sqnorm_scalar; field.
split=> [r a b|[|r] a b]; rewrite uE riskE.
- have := inner_le a b; set s := inner a b; set norms := _ + _; rewrite mulr2n => le.
  apply: le_trans (_ : (s - 1) ^+ 2 + 3%:R / 4%:R * (s + s) <= _); last by rewrite lerD2l ler_wpM2l // divr_ge0 ?ler0n.
  by rewrite -subr_ge0 (_ : _ - _ = (s - 1 / 4%:R) ^+ 2) ?sqr_ge0 //; field.
- move=> _; rewrite [a]thinmx0 [b]thinmx0 inner0l !sqnorm0 addr0 mulr0 addr0 sub0r sqrrN expr1n.
  by rewrite ltr_pdivrMr ?ltr0n // mul1r ltr_nat.
by rewrite ltnNge bin_gt0.
Qed.
End OneFunctional.
