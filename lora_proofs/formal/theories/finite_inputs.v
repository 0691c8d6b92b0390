(* Lemma 2 and Theorem 5 of Zeng & Lee below the threshold, with tr Sigma where the paper (as recalled) has |Sigma|_F; inputs of finite support.

   [lemma2_trace]  the corrected Lemma 2.
     says: W_l non-singular: some adapters of ranks at most R_l and biases have E|f - fbar|^2 <= tr(Sigma) sigma_{R_1 + ... + R_L + 1}^2, Sigma = E x x^T.
     differs: x has finitely many values x_i with weights w_i >= 0; real closed fields.
   [theorem5_pointwise]  the bound behind Theorems 5 and 6, at every point of a bounded set.
     says: any partition into blocks, any ranks: |f(x) - fbar(x)| <= sum_i E_i m_{i-1}(x) prod_{k > i} (w_k + E_k), with m_0 = |x|, m_i = w_i m_{i-1} + |bbar_i|,
       w_i a bound of the operator norm of Wbar_i and E_i = sigma_{1 + sum of the block's ranks} of Wbar_i - product of the block.
     differs: stronger than the paper, which has expectations: those follow as the bound is affine in |x|.
   [theorem5_average]  its average over finitely many inputs.
     says: E|f - fbar| <= the same sum with m_0 = (tr Sigma)^(1/2).
     differs: x has finitely many values, with weights that add up to 1. *)
From mathcomp Require Import all_ssreflect all_algebra.
From LoraProofs Require Import compat vectors chain relu spectral svd.
Set Implicit Arguments. Unset Strict Implicit. Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Lipschitz.
Variables (F : realFieldType) (n : nat).
Implicit Types (x y : 'cV[F]_n).

Lemma relu_lipschitz x y : sqnorm (relu x - relu y) <= sqnorm (x - y).
Proof.
rewrite !sqnorm_col; apply: ler_sum => i _; rewrite !mxE; set a := x i 0; set b := y i 0.
have key (s t : F) : s <= t -> (Num.max 0 s - Num.max 0 t) ^+ 2 <= (s - t) ^+ 2.
  move=> st; have h0 : 0 <= Num.max 0 t - Num.max 0 s.
    by rewrite subr_ge0 ge_max !le_max lexx st orbT.
  have h1 : Num.max 0 t - Num.max 0 s <= t - s.
    case: (lerP 0 t) => t0; case: (lerP 0 s) => s0; rewrite ?subr0 ?subrr ?subr_ge0 //.
      by rewrite -[X in X <= _]addr0 lerD2l oppr_ge0 ltW.
    by move: (lt_le_trans t0 s0); rewrite ltNge st.
  rewrite -[X in X <= _]sqrrN -[X in _ <= X]sqrrN !opprB !expr2.
  by apply: ler_pM.
case: (leP a b) => [/key //|/ltW/key]; by rewrite -[X in X <= _]sqrrN -[X in _ <= X]sqrrN !opprB.
Qed.
End Lipschitz.

Section Average.
Variables (F : rcfType) (n : nat) (I : finType) (w : I -> F) (x : I -> 'cV[F]_n).
Hypothesis w0 : forall i, 0 <= w i.

Definition average (g : 'cV[F]_n -> F) : F := \sum_i w i * g (x i).
Definition moment : 'M[F]_n := \sum_i w i *: (x i *m (x i)^T).
Definition support : 'cV[F]_n -> Prop := fun y => exists i, y = x i.

Lemma trace_moment : \tr moment = average (@sqnorm F n 1).
Proof.
rewrite /moment raddf_sum; apply: eq_bigr => i _; rewrite /= mxtraceZ mxtrace_mulC sqnormE.
by rewrite /mxtrace big_ord1.
Qed.

Lemma support_bounded : bounded support.
Proof.
exists (\sum_i \sum_j `|x i j 0|) => _ [i ->] j; rewrite (bigD1 i) //= (bigD1 j) //= -addrA lerDl.
by rewrite addr_ge0 // sumr_ge0 // => k _; rewrite ?sumr_ge0.
Qed.

Theorem lemma2_trace (Ws : seq 'M[F]_n) (Rs : seq nat) (T : 'M[F]_n) (bT : 'cV[F]_n) :
  Ws != [::] -> size Ws = size Rs -> all (fun W => W \in unitmx) Ws ->
  exists2 d : 'rV[F]_n, exists U V, is_svd (T - chain Ws) U d V &
  exists Ds bs, [/\ ranks_le Ds Rs, size bs = size Ws &
    average (fun y => sqnorm (net (zip (adapted Ws Ds) bs) y - relu (T *m y + bT))) <= \tr moment * sigma d (sumn Rs) ^+ 2].
Proof.
move=> Ws0 sz Wsu; have [U [d [V svdE]]] := svd_exists (T - chain Ws); exists d; first by exists U, V.
have [Ds Dr DP] := lemma1_attained sz Wsu svdE.
have szA : size (adapted Ws Ds) = size Ws by rewrite size_map size1_zip // sz (ranks_le_size Dr).
have [|bs bsz bsP] := @linearise F n (adapted Ws Ds) bT support support_bounded.
  by rewrite -size_eq0 szA size_eq0.
exists Ds, bs; split=> //; first by rewrite bsz.
rewrite trace_moment mulr_suml; apply: ler_sum => i _; rewrite -mulrA ler_wpM2l //.
rewrite bsP; last by exists i.
apply: le_trans (relu_lipschitz _ _) _; rewrite opprD addrACA subrr addr0 -mulmxBl mulrC.
exact: DP.
Qed.
End Average.

Section Norm.
Variables (F : rcfType) (n : nat).
Implicit Types (x y : 'cV[F]_n).

Definition norm x : F := Num.sqrt (sqnorm x).

Lemma norm_ge0 x : 0 <= norm x.
Proof. exact: sqrtr_ge0. Qed.

Lemma normK x : norm x ^+ 2 = sqnorm x.
Proof. by rewrite sqr_sqrtr // sqnorm_ge0. Qed.

Lemma norm_le x y (c : F) : 0 <= c -> sqnorm x <= c ^+ 2 * sqnorm y -> norm x <= c * norm y.
Proof.
move=> c0 h; rewrite -(sqr_sqrtr c0) in h *.
rewrite -(@ler_pexpn2r _ 2) ?nnegrE ?mulr_ge0 ?norm_ge0 ?exprn_ge0 ?sqrtr_ge0 //.
by rewrite exprMn !normK.
Qed.

(* Cauchy-Schwarz and the triangle inequality *)
Lemma norm_triangle x y : norm (x + y) <= norm x + norm y.
Proof.
rewrite -(@ler_pexpn2r _ 2) ?nnegrE ?addr_ge0 ?norm_ge0 // sqrrD !normK.
have dE : sqnorm (x + y) = sqnorm x + (\sum_i x i 0 * y i 0) *+ 2 + sqnorm y.
  rewrite !sqnorm_col -sumrMnl -!big_split; apply: eq_bigr => i _ /=; by rewrite mxE sqrrD.
rewrite dE lerD2r lerD2l lerMn2r /=; set p := \sum_i _.
apply: le_trans (ler_norm _) _.
rewrite -(@ler_pexpn2r _ 2) ?nnegrE ?mulr_ge0 ?norm_ge0 // exprMn !normK -normrX ger0_norm ?sqr_ge0 //.
have [y0|y0] := eqVneq y 0.
  by rewrite /p big1 ?expr0n /= ?mulr_ge0 ?sqnorm_ge0 // => i _; rewrite y0 mxE mulr0.
have s0 : 0 < sqnorm y by rewrite lt_def sqnorm_ge0 sqnorm_eq0 y0.
have := sqnorm_ge0 (sqnorm y *: x - p *: y).
have -> : sqnorm (sqnorm y *: x - p *: y) = sqnorm y * (sqnorm y * sqnorm x - p ^+ 2).
  have h (a b : F) : sqnorm (a *: x - b *: y) = a ^+ 2 * sqnorm x - (a * b * p) *+ 2 + b ^+ 2 * sqnorm y.
    rewrite !sqnorm_col /p !mulr_sumr -sumrMnl -sumrB -big_split; apply: eq_bigr => i _ /=.
    by rewrite !mxE sqrrB !exprMn -!mulrA (mulrCA (x i 0) b).
  rewrite h; move: (sqnorm y) (sqnorm x) => q s.
  have -> : q * p * p = p ^+ 2 * q by rewrite expr2 [LHS]mulrC (mulrC q) mulrA.
  by rewrite mulr2n opprD addrA subrK mulrBr mulrA -expr2 [q * p ^+ 2]mulrC.
by rewrite pmulr_rge0 // subr_ge0 mulrC.
Qed.

Lemma norm_lipschitz x y : norm (relu x - relu y) <= norm (x - y).
Proof. by rewrite ler_wsqrtr // relu_lipschitz. Qed.

(* w is a bound of the operator norm of A *)
Definition norm_bound (A : 'M[F]_n) (c : F) := 0 <= c /\ forall x, norm (A *m x) <= c * norm x.

(* layers of (w_i, E_i, |bbar_i|): the sum over i of E_i m_(i-1) prod_(k > i) (w_k + E_k), where m_0 = m and m_i = w_i m_(i-1) + |bbar_i| *)
Definition gain (ls : seq (F * F * F)) : F := \prod_(l <- ls) (l.1.1 + l.1.2).
Fixpoint total (ls : seq (F * F * F)) (m : F) : F :=
  if ls is (w, e, b) :: ls' then e * m * gain ls' + total ls' (w * m + b) else 0.

Lemma total_le (ls : seq (F * F * F)) m m' : all (fun l => (0 <= l.1.1) && (0 <= l.1.2)) ls -> m <= m' -> total ls m <= total ls m'.
Proof.
elim: ls m m' => [|[[w e] b] ls IH] //= m m' /andP[/andP[w0 e0] ls0] mm.
have g0 : 0 <= gain ls.
  rewrite /gain big_seq prodr_ge0 // => l /(allP ls0) /andP[? ?]; exact: addr_ge0.
by rewrite lerD ?IH // ?lerD2r ?ler_wpM2l // ler_wpM2r // ler_wpM2l.
Qed.

(* one block: A = Wbar + N with |N| <= e *)
Lemma block_error (A W : 'M[F]_n) (b x y : 'cV[F]_n) w e m err : norm_bound W w -> 0 <= e ->
  (forall z, norm ((A - W) *m z) <= e * norm z) -> norm y <= m -> norm (x - y) <= err ->
  norm (relu (A *m x + b) - relu (W *m y + b)) <= (w + e) * err + e * m /\ norm (relu (W *m y + b)) <= w * m + norm b.
Proof.
case=> w0 wP e0 eP ym xy; split.
  apply: le_trans (norm_lipschitz _ _) _; rewrite opprD addrACA subrr addr0.
  have -> : A *m x - W *m y = W *m (x - y) + ((A - W) *m (x - y) + (A - W) *m y).
    by rewrite -[(A - W) *m (x - y) + _]mulmxDr subrK mulmxBr mulmxBl [RHS]addrC addrA subrK.
  apply: le_trans (norm_triangle _ _) _; rewrite mulrDl -addrA lerD //.
    by apply: le_trans (wP _) _; rewrite ler_wpM2l.
  apply: le_trans (norm_triangle _ _) _; rewrite lerD //.
    by apply: le_trans (eP _) _; rewrite ler_wpM2l.
  by apply: le_trans (eP _) _; rewrite ler_wpM2l.
have h : norm (relu (W *m y + b)) <= norm (W *m y + b).
  rewrite ler_wsqrtr //; rewrite !sqnorm_col; apply: ler_sum => i _; rewrite !mxE; set a := \sum_j _ + _.
  by case: (lerP 0 a) => // _; rewrite expr0n sqr_ge0.
apply: le_trans h _; apply: le_trans (norm_triangle _ _) _; rewrite lerD2r.
by apply: le_trans (wP _) _; rewrite ler_wpM2l.
Qed.
End Norm.

Section Theorem5.
Variables (F : rcfType) (n : nat).
Implicit Types (Ws Ds : seq 'M[F]_n) (x y b : 'cV[F]_n) (X : 'cV[F]_n -> Prop).

(* one block, its biases and adapters *)
Lemma block_adapters Ws Rs (T : 'M[F]_n) bT X U d V : bounded X -> Ws != [::] -> size Ws = size Rs ->
  all (fun W => W \in unitmx) Ws -> is_svd (T - chain Ws) U d V ->
  exists Ds bs A, [/\ ranks_le Ds Rs, size bs = size Ws, forall x, X x -> net (zip (adapted Ws Ds) bs) x = relu (A *m x + bT)
    & forall z, norm ((A - T) *m z) <= sigma d (sumn Rs) * norm z].
Proof.
move=> Xb Ws0 sz Wsu svdE; have [Ds Dr DP] := lemma1_attained sz Wsu svdE.
have szA : size (adapted Ws Ds) = size Ws by rewrite size_map size1_zip // sz (ranks_le_size Dr).
have [|bs bsz bsP] := @linearise F n (adapted Ws Ds) bT X Xb; first by rewrite -size_eq0 szA size_eq0.
exists Ds, bs, (chain (adapted Ws Ds)); split=> //; first by rewrite bsz.
move=> z; apply: norm_le; last exact: DP.
by rewrite /sigma; case: insubP => //= i _ _; case: svdE => _ _ _ d0 _.
Qed.

(* the triple of block i: a bound of |Wbar_i|, the singular value that the block's ranks leave, |bbar_i| *)
Definition block_bounds (l : 'M[F]_n * 'cV[F]_n) Ws Rs (c : F * F * F) :=
  [/\ norm_bound l.1 c.1.1, exists U d V, is_svd (l.1 - chain Ws) U d V /\ c.1.2 = sigma d (sumn Rs) & c.2 = norm l.2].

Theorem theorem5_pointwise (tgt : seq ('M[F]_n * 'cV[F]_n)) (sh : seq nat) Ws Rs X (ls : seq (F * F * F)) :
  bounded X -> size tgt = size sh -> size ls = size sh -> all (leq 1) sh ->
  size Ws = sumn sh -> size Rs = sumn sh -> all (fun W => W \in unitmx) Ws ->
  (forall i, (i < size tgt)%N ->
     block_bounds (nth (0, 0) tgt i) (nth [::] (reshape sh Ws) i) (nth [::] (reshape sh Rs) i) (nth (0, 0, 0) ls i)) ->
  exists Ds bs, [/\ ranks_le Ds Rs, size bs = size Ws &
    forall x, X x -> norm (net (zip (adapted Ws Ds) bs) x - net tgt x) <= total ls (norm x)].
Proof.
move=> Xb szt szl sh1 szW szR Wsu bnd.
suff [Ds [bs [Dr bsz h]]] : exists Ds bs, [/\ ranks_le Ds Rs, size bs = size Ws &
    forall x y m err, X x -> norm y <= m -> norm (x - y) <= err ->
      norm (net (zip (adapted Ws Ds) bs) x - net tgt y) <= gain ls * err + total ls m].
  exists Ds, bs; split=> // x Xx; have := h x x (norm x) 0 Xx (lexx _).
  rewrite subrr mulr0 add0r; apply; by rewrite /norm (_ : sqnorm 0 = 0) ?sqrtr0 //; apply/eqP; rewrite sqnorm_eq0.
elim: sh tgt Ws Rs X ls Xb szt szl sh1 szW szR Wsu bnd => [|s sh IH] [|[T bT] tgt] //= Ws Rs X [|c ls] Xb //=.
  move=> _ _ _ /size0nil -> /size0nil -> _ _; exists [::], [::]; split=> // x y m err _ _ h.
  by rewrite /gain big_nil mul1r addr0.
move=> [szt] [szl] /andP[s0 sh0] szW szR Wsu bnd.
have take_s (Y : Type) (Y' : seq Y) : size Y' = (s + sumn sh)%N -> size (take s Y') = s.
  by move=> szY; rewrite size_takel // szY leq_addr.
have drop_s (Y : Type) (Y' : seq Y) : size Y' = (s + sumn sh)%N -> size (drop s Y') = sumn sh.
  by move=> szY; rewrite size_drop szY addKn.
have Wsu1 : all (fun W => W \in unitmx) (take s Ws) by apply/allP=> W /mem_take; apply: (allP Wsu).
have Wsu2 : all (fun W => W \in unitmx) (drop s Ws) by apply/allP=> W /mem_drop; apply: (allP Wsu).
have := bnd 0%N isT; rewrite /= => -[/= wb [U [d [V [svdE cE]]]] bE].
have [||Ds1 [bs1 [A [Dr1 bsz1 net1 Aerr]]]] := @block_adapters (take s Ws) (take s Rs) T bT X U d V Xb _ _ Wsu1 svdE.
- by rewrite -size_eq0 take_s // -lt0n.
- by rewrite !take_s.
have [|i ilt|Ds2 [bs2 [Dr2 bsz2 net2]]] :=
  IH tgt (drop s Ws) (drop s Rs) (image (fun x => relu (A *m x + bT)) X) ls _ szt szl sh0 (drop_s _ _ szW) (drop_s _ _ szR) Wsu2.
- by apply: bounded_image_comp; apply: bounded_relu; apply: bounded_affine.
- exact: bnd i.+1 ilt.
have szD1 : size Ds1 = s by rewrite (ranks_le_size Dr1) take_s.
exists (Ds1 ++ Ds2), (bs1 ++ bs2); split.
- by rewrite -[Rs](cat_take_drop s) ranks_le_cat.
- by rewrite size_cat bsz1 bsz2 -size_cat cat_take_drop.
move=> x y m err Xx ym xy; rewrite -{1}[Ws](cat_take_drop s) /adapted zip_cat ?take_s // map_cat.
rewrite zip_cat ?size_map ?size1_zip ?take_s ?szD1 // ?bsz1 ?take_s // net_cat net1 //.
have e0 : 0 <= c.1.2.
  by rewrite cE /sigma; case: insubP => //= i _ _; case: svdE => _ _ _ d0 _.
have [|h1 h2] := @block_error F n A T bT x y c.1.1 c.1.2 m err wb e0 _ ym xy; first by rewrite cE.
have := net2 _ _ _ _ (ex_intro2 _ _ x Xx erefl) h2 h1; rewrite -bE => /le_trans; apply.
case: (c) => [[w e] b] /=; rewrite /gain big_cons /= mulrDr addrA; rewrite lerD2r.
by rewrite mulrA [_ * (w + e)]mulrC [gain _ * _]mulrC.
Qed.
End Theorem5.

Section Expectation.
Variables (F : rcfType) (n : nat) (I : finType) (w : I -> F) (x : I -> 'cV[F]_n).
Hypotheses (w0 : forall i, 0 <= w i) (w1 : \sum_i w i = 1).

Lemma average_total (ls : seq (F * F * F)) (m : I -> F) : \sum_i w i * total ls (m i) = total ls (\sum_i w i * m i).
Proof.
elim: ls m => [|[[v e] b] ls IH] m /=; first by rewrite big1 // => i _; rewrite mulr0.
rewrite (eq_bigr (fun i => e * (w i * m i) * gain ls + w i * total ls (v * m i + b))) => [|i _]; last first.
  by rewrite mulrDr (mulrA (w i)) (mulrCA (w i) e).
rewrite big_split /= IH -mulr_suml -mulr_sumr; congr (_ + total ls _).
rewrite -[X in _ + X]mul1r -w1 mulr_suml mulr_sumr -big_split; apply: eq_bigr => i _ /=.
by rewrite mulrDr mulrCA.
Qed.

(* E|x| <= (E|x|^2)^(1/2) *)
Lemma first_moment : average w x (@norm F n) <= Num.sqrt (\tr (moment w x)).
Proof.
rewrite trace_moment; set s := average _ _ _; set q := average _ _ _.
have s0 : 0 <= s by apply: sumr_ge0 => i _; rewrite mulr_ge0 ?norm_ge0.
have sqnorm : s ^+ 2 <= q.
  have -> : q = s ^+ 2 + \sum_i w i * (norm (x i) - s) ^+ 2.
    rewrite (eq_bigr (fun i => w i * sqnorm (x i) - (s * (w i * norm (x i))) *+ 2 + w i * s ^+ 2)) => [|i _]; last first.
      by rewrite sqrrB normK mulrDr mulrBr mulrnAr [norm _ * s]mulrC mulrCA.
    rewrite big_split sumrB /= -mulr_suml w1 mul1r sumrMnl -mulr_sumr -/s -/q -expr2.
    by move: (s ^+ 2) => t; rewrite [RHS]addrC -addrA -mulr2n subrK.
  by rewrite lerDl sumr_ge0 // => i _; rewrite mulr_ge0 ?sqr_ge0.
by rewrite -(ger0_norm s0) -sqrtr_sqr ler_wsqrtr.
Qed.

Theorem theorem5_average (tgt : seq ('M[F]_n * 'cV[F]_n)) (sh : seq nat) Ws Rs (ls : seq (F * F * F)) :
  size tgt = size sh -> size ls = size sh -> all (leq 1) sh -> size Ws = sumn sh -> size Rs = sumn sh ->
  all (fun W => W \in unitmx) Ws ->
  (forall i, (i < size tgt)%N ->
     block_bounds (nth (0, 0) tgt i) (nth [::] (reshape sh Ws) i) (nth [::] (reshape sh Rs) i) (nth (0, 0, 0) ls i)) ->
  exists Ds bs, [/\ ranks_le Ds Rs, size bs = size Ws &
    average w x (fun y => norm (net (zip (adapted Ws Ds) bs) y - net tgt y)) <= total ls (Num.sqrt (\tr (moment w x)))].
Proof.
move=> szt szl sh1 szW szR Wsu bnd.
have [Ds [bs [Dr bsz h]]] := theorem5_pointwise (support_bounded x) szt szl sh1 szW szR Wsu bnd.
exists Ds, bs; split=> //; apply: le_trans (_ : \sum_i w i * total ls (norm (x i)) <= _).
  by apply: ler_sum => i _; rewrite ler_wpM2l // h //; exists i.
rewrite average_total; apply: total_le; last exact: first_moment.
apply/(all_nthP (0, 0, 0)) => i; rewrite szl -szt => /bnd[[-> _] [U [d [V [svdE ->]]]] _] /=.
by rewrite /sigma; case: insubP => //= j _ _; case: svdE => _ _ _ d0 _.
Qed.
End Expectation.
