(* Theorem 3 of Zeng & Lee for other activations than ReLU.

   [lemma2_activation], [theorem3_activation]
     says: phi affine with a slope a <> 0 on a half-line t >= low, the same in both networks, X bounded, W_l non-singular, D <= R floor(L / Lbar):
       adapters of rank at most R and biases give f = fbar on X.
     differs: also when Lbar does not divide L; phi maps bounded sets to bounded sets (every non-decreasing phi does). *)
From mathcomp Require Import all_ssreflect all_algebra.
From LoraProofs Require Import chain relu.
Set Implicit Arguments. Unset Strict Implicit. Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Activation.
Variables (F : realFieldType) (n : nat) (phi : F -> F).
Implicit Types (Ws Ds As : seq 'M[F]_n) (x b : 'cV[F]_n) (X : 'cV[F]_n -> Prop).

Definition act x : 'cV[F]_n := map_mx phi x.
Fixpoint phi_net (layers : seq ('M[F]_n * 'cV[F]_n)) x : 'cV[F]_n :=
  if layers is l :: layers' then phi_net layers' (act (l.1 *m x + l.2)) else x.

Lemma phi_net_cat l1 l2 x : phi_net (l1 ++ l2) x = phi_net l2 (phi_net l1 x).
Proof. by elim: l1 x => //= l l1 IH x; rewrite IH. Qed.

Section HalfLine.
Variables (a c low : F).
Hypothesis affine : forall t, low <= t -> phi t = a * t + c.

(* biases move all inner pre-activations into the half-line: a chain of k layers acts as a^(k-1) times their product *)
Lemma linearise_phi As b X : bounded X -> As != [::] ->
  exists2 bs : seq 'cV[F]_n, size bs = size As &
    forall x, X x -> phi_net (zip As bs) x = act ((a ^+ (size As).-1 *: chain As) *m x + b).
Proof.
elim: As X b => [|A As IH] //= X b Xb _; case: (eqVneq As [::]) => [->|As0].
  by exists [:: b] => //= x _; rewrite expr0 scale1r mul1mx.
have [r Xr] := bounded_affine A 0 Xb.
pose s : 'cV[F]_n := const_mx (low + r); pose e : 'cV[F]_n := a *: s + const_mx c.
pose f x := (a *: A) *m x + e.
have [//|bs sz_bs bsP] := IH (image f X) (b - (a ^+ (size As).-1 *: chain As) *m e) (bounded_affine (a *: A) e Xb).
exists (s :: bs) => [|x Xx]; first by rewrite /= sz_bs.
have fx : act (A *m x + s) = f x.
  apply/colP=> i; rewrite mxE affine; first by rewrite /f /e -scalemxAl !mxE mulrDr addrA.
  rewrite mxE [s i 0]mxE addrCA ler_addl -[r]opprK subr_ge0.
  by have /(_ i) := Xr _ (ex_intro2 _ _ x Xx erefl); rewrite addr0 ler_norml => /andP[].
rewrite /= fx bsP; last by exists x.
have -> : size As = (size As).-1.+1 by rewrite prednK // lt0n size_eq0.
rewrite [in RHS]exprS /f mulmxDr -addrA [_ + (b - _)]addrC subrK /=; congr (act (_ + b)).
by rewrite mulmxA -!(scalemxAl, scalemxAr) scalerA [a * _]mulrC.
Qed.

Hypothesis a0 : a != 0.

Theorem lemma2_activation Ws Rs (T : 'M[F]_n) (bT : 'cV[F]_n) X : bounded X -> Ws != [::] ->
  size Ws = size Rs -> all (fun W => W \in unitmx) Ws ->
  (\rank ((a ^- (size Ws).-1 *: T - chain Ws)%R) <= sumn Rs)%N ->
  exists Ds bs, [/\ ranks_le Ds Rs, size bs = size Ws &
    forall x, X x -> phi_net (zip (adapted Ws Ds) bs) x = act (T *m x + bT)].
Proof.
move=> Xb Ws0 eq_sz Wsu rT; have [Ds Dr defT] := lemma1_exists eq_sz Wsu rT.
have sz : size (adapted Ws Ds) = size Ws by rewrite size_map size1_zip // eq_sz (ranks_le_size Dr).
have [|bs bsz bsP] := @linearise_phi (adapted Ws Ds) bT X Xb; first by rewrite -size_eq0 sz size_eq0.
exists Ds, bs; split=> //; first by rewrite bsz.
by move=> x /bsP ->; rewrite sz defT scalerA divff ?expf_neq0 // scale1r.
Qed.

Hypothesis phi_bounded : forall r, exists r', forall t, `|t| <= r -> `|phi t| <= r'.

Lemma bounded_act X : bounded X -> bounded (image act X).
Proof. by case=> r Xr; have [r' h] := phi_bounded r; exists r' => _ [x /Xr xr ->] i; rewrite mxE h. Qed.

(* any partition into blocks of sizes sh, if every block has D <= its ranks *)
Theorem theorem6_activation (tgt : seq ('M[F]_n * 'cV[F]_n)) (sh : seq nat) Ws Rs X :
  bounded X -> size tgt = size sh -> all (leq 1) sh -> size Ws = sumn sh -> size Rs = sumn sh ->
  all (fun W => W \in unitmx) Ws -> all (fun Rb => n <= sumn Rb)%N (reshape sh Rs) ->
  exists Ds bs, [/\ ranks_le Ds Rs, size bs = size Ws &
    forall x, X x -> phi_net (zip (adapted Ws Ds) bs) x = phi_net tgt x].
Proof.
elim: sh tgt Ws Rs X => [|s sh IH] [|[T bT] tgt] //= Ws Rs X Xb.
  by move=> _ _ /size0nil -> /size0nil -> _ _; exists [::], [::].
move=> [eq_sz] /andP[s0 sh0] szW szR Wsu /andP[rk1 rk].
have szt (Y : Type) (Y' : seq Y) : size Y' = (s + sumn sh)%N -> size (take s Y') = s.
  by move=> szY; rewrite size_takel // szY leq_addr.
have szd (Y : Type) (Y' : seq Y) : size Y' = (s + sumn sh)%N -> size (drop s Y') = sumn sh.
  by move=> szY; rewrite size_drop szY addKn.
have Wsu1 : all (fun W => W \in unitmx) (take s Ws) by apply/allP=> W /mem_take; apply: (allP Wsu).
have Wsu2 : all (fun W => W \in unitmx) (drop s Ws) by apply/allP=> W /mem_drop; apply: (allP Wsu).
have [|||Ds1 [bs1 [Dr1 bsz1 net1]]] := @lemma2_activation (take s Ws) (take s Rs) T bT X Xb _ _ Wsu1.
- by rewrite -size_eq0 szt // -lt0n.
- by rewrite !szt.
- exact: leq_trans (rank_leq_row _) rk1.
have [|Ds2 [bs2 [Dr2 bsz2 net2]]] :=
  IH tgt (drop s Ws) (drop s Rs) (image (fun x => act (T *m x + bT)) X) _ eq_sz sh0 (szd _ _ szW) (szd _ _ szR) Wsu2 rk.
  by apply: bounded_image_comp; apply: bounded_act; apply: bounded_affine.
have szD1 : size Ds1 = s by rewrite (ranks_le_size Dr1) szt.
exists (Ds1 ++ Ds2), (bs1 ++ bs2); split.
- by rewrite -[Rs](cat_take_drop s) ranks_le_cat.
- by rewrite size_cat bsz1 bsz2 -size_cat cat_take_drop.
move=> x Xx; rewrite -{1}[Ws](cat_take_drop s) /adapted zip_cat ?szt // map_cat.
rewrite zip_cat ?size_map ?size1_zip ?szt ?szD1 // ?bsz1 ?szt // phi_net_cat net1 // net2 //.
by exists x.
Qed.

Theorem theorem3_activation (tgt : seq ('M[F]_n * 'cV[F]_n)) Ws R X (L := size Ws) (Lbar := size tgt) :
  bounded X -> (0 < Lbar <= L)%N -> all (fun W => W \in unitmx) Ws -> (n <= R * (L %/ Lbar))%N ->
  exists Ds bs, [/\ size Ds = L, all (fun D : 'M[F]_n => \rank D <= R)%N Ds, size bs = L &
    forall x, X x -> phi_net (zip (adapted Ws Ds) bs) x = phi_net tgt x].
Proof.
move=> Xb /andP[L0 LL] Wsu nR.
have M0 : (0 < L %/ Lbar)%N by rewrite divn_gt0.
have [|||||| Ds [bs [Dr bsz netP]]] := @theorem6_activation tgt (uniform L Lbar) Ws (nseq L R) X Xb.
- by rewrite size_uniform.
- apply/(all_nthP 0%N) => i; rewrite size_uniform // => /(nth_uniform L); exact: leq_trans.
- by rewrite sumn_uniform.
- by rewrite sumn_uniform // size_nseq.
- exact: Wsu.
- apply/(all_nthP [::]) => i; rewrite size_reshape size_uniform // => iL.
  apply: leq_trans nR _; rewrite nth_reshape; set k := sumn (take _ (uniform _ _)).
  have Ms := nth_uniform L iL; set s := nth 0%N _ _ in Ms *; have ks : (k + s <= L)%N.
    rewrite -[X in (_ <= X)%N](sumn_uniform L L0) -(cat_take_drop i.+1 (uniform L Lbar)) sumn_cat.
    by rewrite (take_nth 0%N) ?size_uniform // sumn_rcons leq_addr.
  rewrite drop_nseq take_nseq ?sumn_nseq; last by rewrite leq_subRL // (leq_trans (leq_addr _ _) ks).
  by rewrite leq_mul2l Ms orbT.
exists Ds, bs; split=> //; first by rewrite (ranks_le_size Dr) size_nseq.
by move: Dr; rewrite /ranks_le; elim: (Ds) (L) => [|D Ds' IH] [|k] //= /andP[-> /IH].
Qed.
End HalfLine.
End Activation.

(* the activations of the check: ReLU itself, leaky ReLU with any slope below, both with slope 1 above 0 *)
Lemma leaky_relu_affine (F : realFieldType) (s t : F) : 0 <= t -> (if 0 <= t then t else s * t) = 1 * t + 0.
Proof. by move=> ->; rewrite mul1r addr0. Qed.

(* refuted: with different activations, here none and ReLU, the same layers are not enough, even in dimension 1 with R = D *)
Theorem other_activation_differs (F : realFieldType) (a b : F) :
  ~ forall t, `|t| <= 1 -> a * t + b = Num.max 0 t.
Proof.
move=> h; have m1 : Num.max 0 (1 : F) = 1 by apply/max_idPr; apply: ler01.
have m2 : Num.max 0 (- 1 : F) = 0 by apply/max_idPl; rewrite oppr_le0 ler01.
have := h 0; rewrite normr0 ler01 mulr0 add0r maxxx => /(_ isT) b0.
have := h 1; rewrite normr1 lexx m1 b0 addr0 mulr1 => /(_ isT) a1.
have := h (- 1); rewrite normrN normr1 lexx m2 b0 a1 addr0 mul1r => /(_ isT)/eqP.
by rewrite oppr_eq0 oner_eq0.
Qed.
