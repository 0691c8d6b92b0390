From mathcomp Require Import all_ssreflect all_algebra.
From LoraProofs Require Import chain.
Set Implicit Arguments. Unset Strict Implicit. Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Relu.
Variables (F : realFieldType) (n : nat).
Implicit Types (Ws Ds : seq 'M[F]_n) (x b : 'cV[F]_n) (X : 'cV[F]_n -> Prop).

Definition relu x : 'cV[F]_n := map_mx (Num.max 0) x.

(* a network: each layer is a weight matrix and a bias, ReLU on every layer, also the last *)
Fixpoint net (layers : seq ('M[F]_n * 'cV[F]_n)) x : 'cV[F]_n :=
  if layers is l :: layers' then net layers' (relu (l.1 *m x + l.2)) else x.

Definition bounded X := exists r : F, forall x, X x -> forall i, `|x i 0| <= r.
Definition image (f : 'cV[F]_n -> 'cV[F]_n) X := fun y => exists2 x, X x & y = f x.

Lemma relu_ge0 x i : 0 <= relu x i 0.
Proof. by rewrite mxE le_maxr lexx. Qed.

Lemma relu_id x : (forall i, 0 <= x i 0) -> relu x = x.
Proof. by move=> x0; apply/matrixP=> i j; rewrite mxE ord1; apply/max_idPr. Qed.

Lemma bounded_affine X (A : 'M[F]_n) b : bounded X -> bounded (image (fun x => A *m x + b) X).
Proof.
case=> r Xr; exists (\sum_i (\sum_j `|A i j| * r + `|b i 0|)) => _ [x /Xr xr ->] i.
have r0 : 0 <= r by apply: le_trans (xr i).
rewrite (bigD1 i) //= -[X in X <= _]addr0 ler_add //; last first.
  by apply: sumr_ge0 => k _; rewrite addr_ge0 // sumr_ge0 // => j _; rewrite mulr_ge0.
rewrite !mxE; apply: le_trans (ler_norm_add _ _) _; rewrite ler_add2r.
apply: le_trans (ler_norm_sum _ _ _) _; apply: ler_sum => j _.
by rewrite normrM ler_wpmul2l.
Qed.

Lemma bounded_relu X : bounded X -> bounded (image relu X).
Proof.
case=> r Xr; exists r => _ [x /Xr xr ->] i; rewrite ger0_norm ?relu_ge0 // mxE.
by rewrite le_maxl (le_trans (normr_ge0 _) (xr i)) (le_trans (ler_norm _) (xr i)).
Qed.

Lemma bounded_image_comp f g X : bounded (image g (image f X)) -> bounded (image (fun x => g (f x)) X).
Proof. by case=> r Xr; exists r => _ [x Xx ->]; apply: Xr; exists (f x) => //; exists x. Qed.

(* biases make all hidden ReLUs of a chain inactive (in the sense of identity) on a bounded set *)
Lemma linearise (As : seq 'M[F]_n) b X : bounded X -> As != [::] ->
  exists2 bs : seq 'cV[F]_n, size bs = size As &
    forall x, X x -> net (zip As bs) x = relu (chain As *m x + b).
Proof.
elim: As X b => [|A As IH] //= X b Xb _; case: (eqVneq As [::]) => [->|As0].
  by exists [:: b] => //= x _; rewrite mul1mx.
have [r Xr] := bounded_affine A 0 Xb.
pose c : 'cV[F]_n := const_mx r; pose f x := A *m x + c.
have [//|bs sz_bs bsP] := IH (image f X) (b - chain As *m c) (bounded_affine A c Xb).
exists (c :: bs) => [|x Xx]; first by rewrite /= sz_bs.
have fx : relu (A *m x + c) = f x.
  apply: relu_id => i; rewrite mxE [c i 0]mxE -[r]opprK subr_ge0.
  by have /(_ i) := Xr _ (ex_intro2 _ _ x Xx erefl); rewrite addr0 ler_norml => /andP[].
rewrite /= fx bsP; last by exists x.
by rewrite /f mulmxDr mulmxA -addrA [_ + (b - _)]addrC subrK.
Qed.

Lemma net_cat l1 l2 x : net (l1 ++ l2) x = net l2 (net l1 x).
Proof. by elim: l1 x => //= l l1 IH x; rewrite IH. Qed.

(* Lemma 2, exact part: one target layer *)
Theorem lemma2 Ws Rs (T : 'M[F]_n) (bT : 'cV[F]_n) X : bounded X -> Ws != [::] ->
  size Ws = size Rs -> all (fun W => W \in unitmx) Ws ->
  (\rank ((T - chain Ws)%R) <= sumn Rs)%N ->
  exists Ds bs, [/\ ranks_le Ds Rs, size bs = size Ws &
    forall x, X x -> net (zip (adapted Ws Ds) bs) x = relu (T *m x + bT)].
Proof.
move=> Xb Ws0 eq_sz Wsu rT; have [Ds Dr defT] := lemma1_exists eq_sz Wsu rT.
have sz : size (adapted Ws Ds) = size Ws.
  by rewrite size_map size1_zip // eq_sz (ranks_le_size Dr).
have [|bs bsz bsP] := @linearise (adapted Ws Ds) bT X Xb.
  by rewrite -size_eq0 sz size_eq0.
by exists Ds, bs; split=> //; [rewrite bsz | rewrite -defT].
Qed.

(* Theorem 3 / 6, exact part: partition of the frozen layers into consecutive blocks of sizes sh,
   block i imitates target layer i *)
Theorem theorem6 (tgt : seq ('M[F]_n * 'cV[F]_n)) (sh : seq nat) Ws Rs X :
  bounded X -> size tgt = size sh -> all (leq 1) sh ->
  size Ws = sumn sh -> size Rs = sumn sh -> all (fun W => W \in unitmx) Ws ->
  (forall i, (i < size tgt)%N ->
     (\rank (((nth (0, 0) tgt i).1 - chain (nth [::] (reshape sh Ws) i))%R)
        <= sumn (nth [::] (reshape sh Rs) i))%N) ->
  exists Ds bs, [/\ ranks_le Ds Rs, size bs = size Ws &
    forall x, X x -> net (zip (adapted Ws Ds) bs) x = net tgt x].
Proof.
elim: sh tgt Ws Rs X => [|s sh IH] [|[T bT] tgt] //= Ws Rs X Xb.
  by move=> _ _ /size0nil -> /size0nil -> _ _; exists [::], [::].
move=> [eq_sz] /andP[s0 sh0] szW szR Wsu rk.
have szt (Y : Type) (Y' : seq Y) : size Y' = (s + sumn sh)%N -> size (take s Y') = s.
  by move=> szY; rewrite size_takel // szY leq_addr.
have szd (Y : Type) (Y' : seq Y) : size Y' = (s + sumn sh)%N -> size (drop s Y') = sumn sh.
  by move=> szY; rewrite size_drop szY addKn.
have Wsu1 : all (fun W => W \in unitmx) (take s Ws).
  by apply/allP=> W /mem_take; apply: (allP Wsu).
have Wsu2 : all (fun W => W \in unitmx) (drop s Ws).
  by apply/allP=> W /mem_drop; apply: (allP Wsu).
have [||Ds1 [bs1 [Dr1 bsz1 net1]]] := @lemma2 (take s Ws) (take s Rs) T bT X Xb _ _ Wsu1 (rk 0%N isT).
- by rewrite -size_eq0 szt // -lt0n.
- by rewrite !szt.
have [|i ilt|Ds2 [bs2 [Dr2 bsz2 net2]]] :=
  IH tgt (drop s Ws) (drop s Rs) (image (fun x => relu (T *m x + bT)) X) _ eq_sz sh0 (szd _ _ szW) (szd _ _ szR) Wsu2.
- by apply: bounded_image_comp; apply: bounded_relu; apply: bounded_affine.
- exact: rk i.+1 ilt.
have szD1 : size Ds1 = s by rewrite (ranks_le_size Dr1) szt.
exists (Ds1 ++ Ds2), (bs1 ++ bs2); split.
- by rewrite -[Rs](cat_take_drop s) ranks_le_cat.
- by rewrite size_cat bsz1 bsz2 -size_cat cat_take_drop.
move=> x Xx; rewrite -{1}[Ws](cat_take_drop s) /adapted zip_cat ?szt // map_cat.
rewrite zip_cat ?size_map ?size1_zip ?szt ?szD1 // ?bsz1 ?szt // net_cat net1 // net2 //.
by exists x.
Qed.
End Relu.

Section Uniform.
Variables (F : realFieldType) (n : nat).
Implicit Types (Ws Ds : seq 'M[F]_n) (X : 'cV[F]_n -> Prop).

(* Lbar blocks of L %/ Lbar layers, the last one takes the remainder *)
Definition uniform (L Lbar : nat) : seq nat := (rcons (nseq Lbar.-1 (L %/ Lbar)) (L %/ Lbar + L %% Lbar))%N.

Lemma size_uniform L Lbar : (0 < Lbar)%N -> size (uniform L Lbar) = Lbar.
Proof. by case: Lbar => // k _; rewrite size_rcons size_nseq. Qed.

Lemma sumn_uniform L Lbar : (0 < Lbar)%N -> sumn (uniform L Lbar) = L.
Proof.
case: Lbar => // k _; rewrite /uniform sumn_rcons sumn_nseq addnA -mulnSr.
by rewrite [RHS](divn_eq L k.+1).
Qed.

Lemma nth_uniform L Lbar i : (i < Lbar)%N -> (L %/ Lbar <= nth 0 (uniform L Lbar) i)%N.
Proof.
move=> iL; rewrite nth_rcons size_nseq nth_nseq; case: ifP => [->//|] /negbT; rewrite -leqNgt => h.
have -> : i = Lbar.-1 by apply/eqP; rewrite eqn_leq h andbT -ltnS (ltn_predK iL).
by rewrite eqxx leq_addr.
Qed.

Theorem theorem3 (tgt : seq ('M[F]_n * 'cV[F]_n)) Ws R X (L := size Ws) (Lbar := size tgt) :
  bounded X -> (0 < Lbar <= L)%N -> all (fun W => W \in unitmx) Ws ->
  (forall i, (i < Lbar)%N ->
     (\rank (((nth (0, 0) tgt i).1 - chain (nth [::] (reshape (uniform L Lbar) Ws) i))%R)
        <= R * (L %/ Lbar))%N) ->
  exists Ds bs, [/\ size Ds = L, all (fun D : 'M[F]_n => \rank D <= R)%N Ds, size bs = L &
    forall x, X x -> net (zip (adapted Ws Ds) bs) x = net tgt x].
Proof.
move=> Xb /andP[L0 LL] Wsu rk.
have [|||||i iL|Ds [bs [Dr bsz netP]]] := @theorem6 F n tgt (uniform L Lbar) Ws (nseq L R) X Xb.
- by rewrite size_uniform.
- apply/(all_nthP 0%N) => i; rewrite size_uniform // => /(nth_uniform L); apply: leq_trans.
  by rewrite divn_gt0.
- by rewrite sumn_uniform.
- by rewrite sumn_uniform // size_nseq.
- exact: Wsu.
- apply: leq_trans (rk i iL) _; rewrite nth_reshape.
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

(* Corollary 4, deterministic part: R * floor(L / Lbar) >= D suffices for every target *)
Corollary corollary4 (tgt : seq ('M[F]_n * 'cV[F]_n)) Ws R X (L := size Ws) (Lbar := size tgt) :
  bounded X -> (0 < Lbar <= L)%N -> all (fun W => W \in unitmx) Ws -> (n <= R * (L %/ Lbar))%N ->
  exists Ds bs, [/\ size Ds = L, all (fun D : 'M[F]_n => \rank D <= R)%N Ds, size bs = L &
    forall x, X x -> net (zip (adapted Ws Ds) bs) x = net tgt x].
Proof.
move=> Xb LL Wsu nR; apply: theorem3 => // i _.
exact: leq_trans (rank_leq_row _) nR.
Qed.
End Uniform.
