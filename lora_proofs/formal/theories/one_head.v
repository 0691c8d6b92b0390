(* Necessity of D/2 for one attention head and one block (L = H = 1) of the transformers of Zeng & Lee.

   [one_head_logits]
     says: L = H = 1, N >= 2 tokens, target weights non-singular: a network of the same form that is the target on every input has
       W_K^T W_Q = Wbar_K^T Wbar_Q, whatever else in it was changed.
     differs: softmax is the one of an abstract exponential, a positive injective homomorphism from + to * ; the claim has N = 2.
   [one_head_necessary]
     says: 2R >= rank(Wbar_K^T Wbar_Q - W_K^T W_Q) is needed for adapters of rank R on W_Q and W_K. *)
From mathcomp Require Import all_ssreflect all_algebra.
From LoraProofs Require Import compat chain relu tightness transformer.
Set Implicit Arguments. Unset Strict Implicit. Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section OneHead.
Variables (F : realFieldType) (D N : nat) (e : F -> F).
Hypotheses (e_gt0 : forall a, 0 < e a) (eD : forall a b, e (a + b) = e a * e b) (e_inj : injective e).

(* softmax of every column, and ReLU of every entry *)
Definition softmax (A : 'M[F]_N.+2) : 'M[F]_N.+2 := \matrix_(i, j) (e (A i j) / \sum_k e (A k j)).
Definition relu_tokens (Z : 'M[F]_(D, N.+2)) : 'M[F]_(D, N.+2) := map_mx (Num.max 0) Z.
Notation block := (@block F D 1).
Definition one_block (B : block) (Wo : 'M[F]_D) := @tfn F D N.+2 1 softmax relu_tokens [::] B Wo.
Implicit Types (B Bt : block) (Wo Wot : 'M[F]_D) (x y : 'cV[F]_D) (Z : 'M[F]_(D, N.+2)).

Definition logits B := (WK B 0)^T *m WQ B 0.
Definition value B := W1 B *m (WO B 0 *m WV B 0).
(* what both networks do with equal tokens *)
Definition mlp B Wo x := Wo *m (W2 B *m relu (value B *m x + b1 B) + b2 B).

Lemma sum_gt0 (A : 'M[F]_N.+2) j : 0 < \sum_k e (A k j).
Proof. by rewrite big_ord_recl ltr_wpDr ?sumr_ge0 // => k _; rewrite ltW. Qed.

Lemma softmax_sum (A : 'M[F]_N.+2) j : \sum_i softmax A i j = 1.
Proof.
rewrite (eq_bigr (fun i => e (A i j) / \sum_k e (A k j))) => [|i _]; last by rewrite mxE.
by rewrite -mulr_suml divff // gt_eqF // sum_gt0.
Qed.

(* every column of the output is the MLP of an average of tokens *)
Lemma column_mlp B Wo Z j : col j (one_block B Wo Z) = mlp B Wo (Z *m col j (softmax (Z^T *m logits B *m Z))).
Proof.
rewrite /one_block /tfn /tokens /step /hidden /attn big_ord1.
rewrite (_ : (WK B 0 *m Z)^T *m (WQ B 0 *m Z) = Z^T *m logits B *m Z); last by rewrite trmx_mul /logits !mulmxA.
set S := softmax _; clearbody S; rewrite !colE -mulmxA /mlp; congr (Wo *m _).
have cs b : spread N.+2 b *m delta_mx j 0 = b.
  by rewrite /spread -mulmxA -colE (_ : col j _ = 1%:M) ?mulmx1 //; apply/matrixP=> i k; rewrite !mxE !ord1.
rewrite mulmxDl cs -mulmxA; congr (_ *m _ + _).
rewrite -colE; apply/colP=> i; rewrite mxE [in RHS]mxE mxE; congr (Num.max 0 _).
have -> : value B *m (Z *m (S *m delta_mx j 0)) + b1 B
  = (W1 B *m (WO B 0 *m WV B 0 *m Z *m S) + spread N.+2 (b1 B)) *m delta_mx j 0.
  by rewrite mulmxDl cs /value !mulmxA.
by rewrite -colE [RHS]mxE.
Qed.

(* token 0 is x, all others are y *)
Definition two_tokens x y : 'M[F]_(D, N.+2) := \matrix_(i, j) (if j == 0 then x i 0 else y i 0).

Lemma two_tokens_average x y (s : 'cV[F]_N.+2) : \sum_k s k 0 = 1 -> two_tokens x y *m s = s 0 0 *: (x - y) + y.
Proof.
move=> s1; apply/colP=> i; rewrite !mxE big_ord_recl mxE eqxx.
rewrite (eq_bigr (fun k : 'I_N.+1 => y i 0 * s (lift 0 k) 0)) => [|k _]; last by rewrite mxE.
rewrite -mulr_sumr (_ : \sum_(k < N.+1) s (lift 0 k) 0 = 1 - s 0 0); last by rewrite -s1 [in RHS]big_ord_recl addrAC subrr add0r.
by rewrite mulrBr mulr1 mulrBr [s 0 0 * x i 0]mulrC [s 0 0 * y i 0]mulrC addrA addrAC.
Qed.

Lemma col_sum (A : 'M[F]_N.+2) j : \sum_k (col j (softmax A)) k 0 = 1.
Proof. by rewrite -(softmax_sum A j); apply: eq_bigr => k _; rewrite mxE. Qed.

(* the weight of token 0 *)
Lemma first_weight M x y (Z := two_tokens x y) : softmax (Z^T *m M *m Z) 0 0
  = e ((x^T *m M *m x) 0 0) / (e ((x^T *m M *m x) 0 0) + e ((y^T *m M *m x) 0 0) *+ N.+1).
Proof.
have ZZ k : (Z^T *m M *m Z) k 0 = ((if k == 0 then x else y)^T *m M *m x) 0 0.
  rewrite !mxE; apply: eq_bigr => j _; rewrite [Z j 0]mxE eqxx; congr (_ * _).
  by rewrite !mxE; apply: eq_bigr => l _; rewrite !mxE; case: (k == 0).
rewrite mxE big_ord_recl ZZ eqxx; congr (_ / (_ + _)).
rewrite (eq_bigr (fun=> e ((y^T *m M *m x) 0 0))) => [|k _]; last by rewrite ZZ.
by rewrite sumr_const card_ord.
Qed.

Lemma weight_eq (p q p' q' : F) : e p / (e p + e q *+ N.+1) = e p' / (e p' + e q' *+ N.+1) -> p - q = p' - q'.
Proof.
have pos a b : e a + e b *+ N.+1 != 0 by rewrite gt_eqF // ltr_wpDr // mulrn_wge0 // ltW.
move/eqP; rewrite eqr_div // !mulrDr [e p' * e p]mulrC (inj_eq (addrI _)) !mulrnAr => /eqP/(pmulrnI (ltn0Sn N)).
by rewrite -!eD => /e_inj h; apply/eqP; rewrite subr_eq addrAC -h addrK.
Qed.

Variables (B Bt : block) (Wo Wot : 'M[F]_D).
Hypotheses (Vu : value Bt \in unitmx) (W2u : W2 Bt \in unitmx) (Wou : Wot \in unitmx).
Hypothesis same : forall Z, one_block B Wo Z = one_block Bt Wot Z.

Lemma same_mlp x : mlp B Wo x = mlp Bt Wot x.
Proof.
have Zs (s : 'cV[F]_N.+2) : \sum_k s k 0 = 1 -> two_tokens x x *m s = x.
  by move=> s1; rewrite two_tokens_average // subrr scaler0 add0r.
by have := congr1 (col 0) (same (two_tokens x x)); rewrite !column_mlp !Zs ?col_sum.
Qed.

(* the target's MLP is affine and one-to-one here *)
Definition active x := forall i, 0 <= (value Bt *m x + b1 Bt) i 0.

Lemma mlp_inj x y : active x -> active y -> mlp Bt Wot x = mlp Bt Wot y -> x = y.
Proof.
move=> xa ya; rewrite /mlp (relu_id xa) (relu_id ya) => h.
have := can_inj (mulKmx Wou) h => /addIr h2; have := can_inj (mulKmx W2u) h2 => /addIr h3.
exact: (can_inj (mulKmx Vu) h3).
Qed.

Lemma active_average x y t : 0 <= t <= 1 -> active x -> active y -> active (t *: (x - y) + y).
Proof.
case/andP=> t0 t1 xa ya i.
have -> : value Bt *m (t *: (x - y) + y) + b1 Bt = t *: (value Bt *m x + b1 Bt) + (1 - t) *: (value Bt *m y + b1 Bt).
  have mix (p q b : F) : t * (p - q) + q + b = t * (p + b) + (1 - t) * (q + b).
    by rewrite mulrBl mul1r [RHS]addrCA -mulrBr opprD addrACA subrr addr0 -addrA [LHS]addrC.
  by rewrite mulmxDr -scalemxAr mulmxBr; apply/colP=> k; rewrite 7!mxE mix !mxE.
by rewrite mxE addr_ge0 // mxE mulr_ge0 // subr_ge0.
Qed.

Lemma weight01 (A : 'M[F]_N.+2) : 0 <= softmax A 0 0 <= 1.
Proof.
have s0 k : 0 <= softmax A k 0 by rewrite mxE divr_ge0 // ltW // sum_gt0.
by rewrite s0 -(softmax_sum A 0) big_ord_recl lerDl sumr_ge0.
Qed.

Lemma pair_orthogonal x y : active x -> active y -> ((x - y)^T *m (logits B - logits Bt) *m x) 0 0 = 0.
Proof.
move=> xa ya; case: (eqVneq x y) => [->|xy].
  by rewrite subrr trmx0 !mul0mx mxE.
pose Z := two_tokens x y; pose s M := softmax (Z^T *m M *m Z) 0 0.
have avg M : Z *m col 0 (softmax (Z^T *m M *m Z)) = s M *: (x - y) + y.
  by rewrite two_tokens_average; [rewrite mxE | exact: col_sum].
have h : mlp Bt Wot (s (logits B) *: (x - y) + y) = mlp Bt Wot (s (logits Bt) *: (x - y) + y).
  by have := congr1 (col 0) (same Z); rewrite (column_mlp B Wo) (column_mlp Bt Wot) same_mlp !avg.
have /addIr/eqP := mlp_inj (active_average (weight01 _) xa ya) (active_average (weight01 _) xa ya) h.
rewrite -subr_eq0 -scalerBl scaler_eq0 !subr_eq0 (negPf xy) orbF => /eqP.
rewrite /s !first_weight => /weight_eq hw.
have tB : (x - y)^T = x^T - y^T by apply/matrixP=> i j; rewrite !mxE.
have bl (u v : 'M[F]_1) : (u - v) 0 0 = u 0 0 - v 0 0 by rewrite !mxE.
by rewrite mulmxBr mulmxBl bl tB !mulmxBl !bl hw subrr.
Qed.

Lemma active_box : exists c r, 0 < r /\ forall x, box c r x -> active x.
Proof.
pose c := invmx (value Bt) *m (const_mx 1 - b1 Bt); pose K := \sum_i \sum_j `|value Bt i j| + 1.
have K0 : 0 < K by rewrite ltr_wpDl ?ltr01 ?sumr_ge0 // => i _; rewrite sumr_ge0.
exists c, K^-1; split=> [|x xb i]; first by rewrite invr_gt0.
have vE z : (value Bt *m z + b1 Bt) i 0 = affine (row i (value Bt)) (b1 Bt i 0) z by rewrite /affine -row_mul !mxE.
have vc : affine (row i (value Bt)) (b1 Bt i 0) c = 1 by rewrite -vE /c mulKVmx // subrK mxE.
rewrite vE; have Ki : 0 <= K^-1 by rewrite invr_ge0 ltW.
have := affine_near (row i (value Bt)) (b1 Bt i 0) Ki xb; rewrite vc => h.
have : K^-1 * (\sum_j `|row i (value Bt) 0 j|) <= 1.
  rewrite mulrC ler_pdivrMr // mul1r /K [X in _ <= X + _](bigD1 i) //=.
  rewrite (eq_bigr (fun j => `|value Bt i j|)) => [|j _]; last by rewrite mxE.
  by rewrite -addrA lerDl addr_ge0 // sumr_ge0 // => k _; rewrite sumr_ge0.
by move/(le_trans h); rewrite ler_norml => /andP[+ _]; rewrite lerBrDr addNr.
Qed.

Theorem one_head_logits : logits B = logits Bt.
Proof.
have [c [r [r0 act]]] := active_box; set G := logits B - logits Bt.
have r20 : 0 < r / 2%:R by rewrite divr_gt0 ?ltr0n.
have Gx x : box c (r / 2%:R) x -> G *m x = 0.
  move=> xb; have inside y : (forall i, `|y i 0 - x i 0| <= r / 2%:R) -> active y.
    move=> yx; apply: act => i; rewrite -[y i 0](subrK (x i 0)) -addrA; apply: le_trans (ler_normD _ _) _.
    by rewrite [X in _ <= X]splitr lerD.
  apply/colP=> i; rewrite [RHS]mxE.
  have xa : active x by apply: inside => k; rewrite subrr normr0 ltW.
  have ya : active (x + (r / 2%:R) *: delta_mx i 0).
    apply: inside => k; rewrite !mxE addrAC subrr add0r andbT normrM gtr0_norm //.
    by case: (k == i); rewrite ?normr1 ?normr0 ?mulr1 ?mulr0 // ltW.
  have := pair_orthogonal xa ya; rewrite opprD addrA subrr sub0r -/G.
  have -> : (- ((r / 2%:R) *: delta_mx i 0))^T = - (r / 2%:R) *: (delta_mx 0 i : 'rV[F]_D).
    by apply/matrixP=> a b; rewrite !mxE !ord1 andbC mulNr.
  rewrite -mulmxA -scalemxAl -rowE [(_ *: _ : 'M_(_, _)) 0 0]mxE [row _ _ 0 0]mxE => /eqP.
  by rewrite mulf_eq0 oppr_eq0 gt_eqF //= => /eqP.
apply/eqP; rewrite -subr_eq0; apply/eqP; apply: (affine_inj (q := 0) (t := 0) r20) => x /Gx.
by rewrite -/G => ->; rewrite mul0mx.
Qed.

(* adapters of rank R on W_Q and W_K of a frozen head change the logits by rank 2R at most *)
Theorem one_head_necessary (B0 : block) R :
  (\rank ((WQ B 0 - WQ B0 0)%R) <= R)%N -> (\rank ((WK B 0 - WK B0 0)%R) <= R)%N ->
  (\rank ((logits Bt - logits B0)%R) <= R + R)%N.
Proof.
move=> rQ rK; rewrite -one_head_logits /logits.
have -> : (WK B 0)^T *m WQ B 0 - (WK B0 0)^T *m WQ B0 0
    = (WK B 0)^T *m (WQ B 0 - WQ B0 0) + (WK B 0 - WK B0 0)^T *m WQ B0 0.
  by rewrite mulmxBr raddfB /= mulmxBl addrA subrK.
apply: leq_trans (mxrank_add _ _) (leq_add _ _).
  exact: leq_trans (mxrankM_maxr _ _) rQ.
by apply: leq_trans (mxrankM_maxl _ _) _; rewrite mxrank_tr.
Qed.
End OneHead.
