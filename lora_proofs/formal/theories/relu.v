(** * ReLU networks: Lemma 2, Theorems 3 and 6, Corollary 4 of Zeng and Lee

    A network is a list of layers (weight matrix, bias) of one width, with ReLU
    after every layer, the last included ([net]).  Frozen weights get adapters of
    small rank; biases are free.  On a bounded set of inputs biases can be chosen
    so large that every ReLU inside a block of layers acts as the identity
    ([linearise]); a block then is a linear chain, and Lemma 1 applies to it.

    - [lemma2]: a block of nonsingular frozen layers imitates one target layer
      exactly if rank (T - chain Ws) <= R_1 + ... + R_L.
    - [theorem6]: the frozen layers are cut into consecutive blocks of arbitrary
      sizes [shape], block i imitates layer i of the target, exactly, if
      rank (T_i - chain (block i)) is at most the sum of the ranks in block i.
    - [theorem3]: the same with one rank R, blocks of floor(L / Lbar) layers and
      the remaining layers in the last block.
    - [corollary4]: width <= R floor(L / Lbar) suffices for every target.
      differs (all four): the exact part of the statement, where the paper bounds an
      expected squared error by singular values that are zero here; inputs range over
      any bounded set and equality holds at each of them (so for every distribution
      on it); frozen weights are assumed nonsingular, and nothing is asked of
      truncations of the differences; any ordered field.  That random weights are
      nonsingular with probability one is outside, and so are errors for ranks
      that do not suffice ([finite_inputs]). *)
From mathcomp Require Import all_ssreflect all_algebra.
From LoraProofs Require Import compat chain.
Set Implicit Arguments. Unset Strict Implicit. Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Relu.
Variables (F : realFieldType) (n : nat).
Implicit Types (Ws Ds : seq 'M[F]_n) (x b : 'cV[F]_n) (X : 'cV[F]_n -> Prop).

Definition relu x : 'cV[F]_n := map_mx (Num.max 0) x.

Fixpoint net (layers : seq ('M[F]_n * 'cV[F]_n)) x : 'cV[F]_n :=
  if layers is layer :: rest then net rest (relu (layer.1 *m x + layer.2)) else x.

Definition bounded X := exists r : F, forall x, X x -> forall i, `|x i 0| <= r.
Definition image (f : 'cV[F]_n -> 'cV[F]_n) X := fun y => exists2 x, X x & y = f x.

Lemma relu_ge0 x i : 0 <= relu x i 0.
Proof. by rewrite mxE le_max lexx. Qed.

Lemma relu_id x : (forall i, 0 <= x i 0) -> relu x = x.
Proof. by move=> x0; apply/matrixP=> i j; rewrite mxE ord1; apply/max_idPr. Qed.

Lemma bounded_affine X (A : 'M[F]_n) b : bounded X -> bounded (image (fun x => A *m x + b) X).
Proof.
case=> r Xr; exists (\sum_i (\sum_j `|A i j| * r + `|b i 0|)) => _ [x /Xr xr ->] i.
have r0 : 0 <= r by apply: le_trans (xr i).
rewrite (bigD1 i) //= -[X in X <= _]addr0 lerD //; last first.
  by apply: sumr_ge0 => k _; rewrite addr_ge0 // sumr_ge0 // => j _; rewrite mulr_ge0.
rewrite !mxE; apply: le_trans (ler_normD _ _) _; rewrite lerD2r.
apply: le_trans (ler_norm_sum _ _ _) _; apply: ler_sum => j _.
by rewrite normrM ler_wpM2l.
Qed.

Lemma bounded_relu X : bounded X -> bounded (image relu X).
Proof.
case=> r Xr; exists r => _ [x /Xr xr ->] i; rewrite ger0_norm ?relu_ge0 // mxE.
by rewrite ge_max (le_trans (normr_ge0 _) (xr i)) (le_trans (ler_norm _) (xr i)).
Qed.

Lemma bounded_image_comp f g X : bounded (image g (image f X)) -> bounded (image (fun x => g (f x)) X).
Proof. by case=> r Xr; exists r => _ [x Xx ->]; apply: Xr; exists (f x) => //; exists x. Qed.

(** On a bounded set the hidden ReLUs of a chain become identities: a bias lifts each layer above zero and the
    bias of the last layer takes the sum of all lifts back. *)
Lemma linearise (As : seq 'M[F]_n) b X : bounded X -> As != [::] ->
  exists2 bs : seq 'cV[F]_n, size bs = size As &
    forall x, X x -> net (zip As bs) x = relu (chain As *m x + b).
Proof.
elim: As X b => [|A As IH] //= X b Xb _; case: (eqVneq As [::]) => [->|As0].
  by exists [:: b] => //= x _; rewrite mul1mx.
have [r Xr] := bounded_affine A 0 Xb.
pose lift : 'cV[F]_n := const_mx r; pose f x := A *m x + lift.
have [//|bs sz_bs bsP] := IH (image f X) (b - chain As *m lift) (bounded_affine A lift Xb).
exists (lift :: bs) => [|x Xx]; first by rewrite /= sz_bs.
have fx : relu (A *m x + lift) = f x.
  apply: relu_id => i; rewrite mxE [lift i 0]mxE -[r]opprK subr_ge0.
  by have /(_ i) := Xr _ (ex_intro2 _ _ x Xx erefl); rewrite addr0 ler_norml => /andP[].
rewrite /= fx bsP; last by exists x.
by rewrite /f mulmxDr mulmxA -addrA [_ + (b - _)]addrC subrK.
Qed.

Lemma net_cat layers1 layers2 x : net (layers1 ++ layers2) x = net layers2 (net layers1 x).
Proof. by elim: layers1 x => //= layer layers1 IH x; rewrite IH. Qed.

(** Lemma 2: one target layer *)
Theorem lemma2 Ws Rs (T : 'M[F]_n) (bT : 'cV[F]_n) X : bounded X -> Ws != [::] ->
  size Ws = size Rs -> all (fun W => W \in unitmx) Ws ->
  (\rank (T - chain Ws)%R <= sumn Rs)%N ->
  exists Ds bs, [/\ ranks_le Ds Rs, size bs = size Ws &
    forall x, X x -> net (zip (adapted Ws Ds) bs) x = relu (T *m x + bT)].
Proof.
move=> Xb Ws0 eq_sz Wsu rank_T; have [Ds Dr defT] := lemma1_exists eq_sz Wsu rank_T.
have sz : size (adapted Ws Ds) = size Ws by rewrite size_adapted // (ranks_le_size Dr).
have [|bs bsz bsP] := @linearise (adapted Ws Ds) bT X Xb.
  by rewrite -size_eq0 sz size_eq0.
by exists Ds, bs; split=> //; [rewrite bsz | rewrite -defT].
Qed.

(** Theorem 6: any partition into blocks.  [reshape shape Ws] is the list of the blocks. *)
Theorem theorem6 (target : seq ('M[F]_n * 'cV[F]_n)) (shape : seq nat) Ws Rs X :
  bounded X -> size target = size shape -> all (leq 1) shape ->
  size Ws = sumn shape -> size Rs = sumn shape -> all (fun W => W \in unitmx) Ws ->
  (forall i, (i < size target)%N ->
     (\rank ((nth (0, 0) target i).1 - chain (nth [::] (reshape shape Ws) i))%R
        <= sumn (nth [::] (reshape shape Rs) i))%N) ->
  exists Ds bs, [/\ ranks_le Ds Rs, size bs = size Ws &
    forall x, X x -> net (zip (adapted Ws Ds) bs) x = net target x].
Proof.
elim: shape target Ws Rs X => [|s shape IH] [|[T bT] target] //= Ws Rs X Xb.
  by move=> _ _ /size0nil -> /size0nil -> _ _; exists [::], [::].
move=> [eq_sz] /andP[s0 shape0] szW szR Wsu rank_T.
have size_block (Y : Type) (ys : seq Y) : size ys = (s + sumn shape)%N -> size (take s ys) = s.
  by move=> szY; rewrite size_takel // szY leq_addr.
have size_rest (Y : Type) (ys : seq Y) : size ys = (s + sumn shape)%N -> size (drop s ys) = sumn shape.
  by move=> szY; rewrite size_drop szY addKn.
move: (Wsu); rewrite -{1}[Ws](cat_take_drop s) all_cat => /andP[Wsu1 Wsu2].
(* the first block, by Lemma 2 *)
have [||Ds1 [bs1 [Dr1 bsz1 net1]]] := @lemma2 (take s Ws) (take s Rs) T bT X Xb _ _ Wsu1 (rank_T 0%N isT).
- by rewrite -size_eq0 size_block // -lt0n.
- by rewrite !size_block.
(* the other blocks, on the image of the first target layer *)
have [|i ilt|Ds2 [bs2 [Dr2 bsz2 net2]]] := IH target (drop s Ws) (drop s Rs)
    (image (fun x => relu (T *m x + bT)) X) _ eq_sz shape0 (size_rest _ _ szW) (size_rest _ _ szR) Wsu2.
- by apply: bounded_image_comp; apply: bounded_relu; apply: bounded_affine.
- exact: rank_T i.+1 ilt.
have szD1 : size Ds1 = s by rewrite (ranks_le_size Dr1) size_block.
exists (Ds1 ++ Ds2), (bs1 ++ bs2); split.
- by rewrite -[Rs](cat_take_drop s) ranks_le_cat.
- by rewrite size_cat bsz1 bsz2 -size_cat cat_take_drop.
move=> x Xx; rewrite -{1}[Ws](cat_take_drop s) /adapted zip_cat ?size_block // map_cat.
rewrite zip_cat ?size_map ?size1_zip ?size_block ?szD1 // ?bsz1 ?size_block // net_cat net1 // net2 //.
by exists x.
Qed.

(** ** The uniform partition: Lbar blocks of L %/ Lbar layers, the last one takes the remainder *)
Definition uniform (L Lbar : nat) : seq nat :=
  (rcons (nseq Lbar.-1 (L %/ Lbar)) (L %/ Lbar + L %% Lbar))%N.

Lemma size_uniform L Lbar : (0 < Lbar)%N -> size (uniform L Lbar) = Lbar.
Proof. by case: Lbar => // k _; rewrite size_rcons size_nseq. Qed.

Lemma sumn_uniform L Lbar : (0 < Lbar)%N -> sumn (uniform L Lbar) = L.
Proof.
case: Lbar => // k _; rewrite /uniform sumn_rcons sumn_nseq addnA -mulnSr.
by rewrite [RHS](divn_eq L k.+1).
Qed.

Lemma nth_uniform L Lbar i : (i < Lbar)%N -> (L %/ Lbar <= nth 0 (uniform L Lbar) i)%N.
Proof.
move=> iL; rewrite nth_rcons size_nseq nth_nseq; case: ifP => [->//|] /negbT; rewrite -leqNgt => last.
have -> : i = Lbar.-1 by apply/eqP; rewrite eqn_leq last andbT -ltnS (ltn_predK iL).
by rewrite eqxx leq_addr.
Qed.

Theorem theorem3 (target : seq ('M[F]_n * 'cV[F]_n)) Ws R X (L := size Ws) (Lbar := size target) :
  bounded X -> (0 < Lbar <= L)%N -> all (fun W => W \in unitmx) Ws ->
  (forall i, (i < Lbar)%N ->
     (\rank ((nth (0, 0) target i).1 - chain (nth [::] (reshape (uniform L Lbar) Ws) i))%R
        <= R * (L %/ Lbar))%N) ->
  exists Ds bs, [/\ size Ds = L, all (fun D : 'M[F]_n => \rank D <= R)%N Ds, size bs = L &
    forall x, X x -> net (zip (adapted Ws Ds) bs) x = net target x].
Proof.
move=> Xb /andP[L0 LL] Wsu rank_T.
have [|||||i iL|Ds [bs [Dr bsz netP]]] := @theorem6 target (uniform L Lbar) Ws (nseq L R) X Xb.
- by rewrite size_uniform.
- apply/(all_nthP 0%N) => i; rewrite size_uniform // => /(nth_uniform L); apply: leq_trans.
  by rewrite divn_gt0.
- by rewrite sumn_uniform.
- by rewrite sumn_uniform // size_nseq.
- exact: Wsu.
- apply: leq_trans (rank_T i iL) _; rewrite nth_reshape.
  set s := nth _ _ _; set k := sumn (take _ (uniform _ _)).
  have: (k + s <= L)%N.
    rewrite -[X in (_ <= X)%N](sumn_uniform L L0) -(cat_take_drop i.+1 (uniform L Lbar)) sumn_cat.
    by rewrite (take_nth 0%N) ?size_uniform // sumn_rcons leq_addr.
  have: (L %/ Lbar <= s)%N by apply: nth_uniform.
  move=> Ms ks; rewrite drop_nseq take_nseq ?sumn_nseq; last by rewrite leq_subRL // (leq_trans (leq_addr _ _) ks).
  by rewrite leq_mul2l Ms orbT.
exists Ds, bs; split=> //; first by rewrite (ranks_le_size Dr) size_nseq.
by move: Dr; rewrite /ranks_le; elim: (Ds) (L) => [|D Ds' IH] [|k] //= /andP[-> /IH].
Qed.

(** Corollary 4, its deterministic part *)
Corollary corollary4 (target : seq ('M[F]_n * 'cV[F]_n)) Ws R X (L := size Ws) (Lbar := size target) :
  bounded X -> (0 < Lbar <= L)%N -> all (fun W => W \in unitmx) Ws -> (n <= R * (L %/ Lbar))%N ->
  exists Ds bs, [/\ size Ds = L, all (fun D : 'M[F]_n => \rank D <= R)%N Ds, size bs = L &
    forall x, X x -> net (zip (adapted Ws Ds) bs) x = net target x].
Proof.
move=> Xb LL Wsu nR; apply: theorem3 => // i _.
exact: leq_trans (rank_leq_row _) nR.
Qed.

End Relu.
