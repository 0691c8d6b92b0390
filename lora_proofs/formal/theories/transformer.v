(** * Transformer networks: Theorem 7 of Zeng and Lee

    A block is an attention layer of H heads and a feed-forward layer of two
    matrices with biases; tokens are the N columns of Z.  Softmax and the
    activation are arbitrary functions, since only the matrices that they are
    applied to are compared.

    - [certified]: if the products of matrices of two networks agree up to a change
      of basis of the tokens from block to block, the networks agree on every input.
    - [theorem7]: adapters of rank at most R on the attention matrices, the last
      W_2 and W_o give the target on every input, if every rank-based
      functionality gap is at most 2 R.
      differs: equality on every input instead of an error; heads have square D x D
      matrices; biases are free; the frozen W_1, W_2, attention and output matrices
      are nonsingular, and so are the target's W_2 before the last block and
      W_o W_2 in it; a gap is written with C = Wbar_2 W_2^-1 of the block before it.
    - [theorem7_half]: D <= 2 R suffices for every such target.
      differs: that random matrices are nonsingular with probability one is outside. *)
From mathcomp Require Import all_ssreflect all_algebra.
From LoraProofs Require Import chain.
Set Implicit Arguments. Unset Strict Implicit. Unset Printing Implicit Defensive.
Import GRing.Theory.
Local Open Scope ring_scope.

Section Transformer.
(** width D, N tokens, H heads; softmax and the activation are arbitrary functions *)
Variables (F : fieldType) (D N H : nat).
Variables (sm : 'M[F]_N -> 'M[F]_N) (phi : 'M[F]_(D, N) -> 'M[F]_(D, N)).

Record block := Block { WQ : 'I_H -> 'M[F]_D; WK : 'I_H -> 'M[F]_D; WV : 'I_H -> 'M[F]_D;
  WO : 'I_H -> 'M[F]_D; W1 : 'M[F]_D; W2 : 'M[F]_D; b1 : 'cV[F]_D; b2 : 'cV[F]_D }.
Implicit Types (B Bt Bl Btl : block) (Bs Bts : seq block) (Z : 'M[F]_(D, N)) (C Wo Wot : 'M[F]_D).

Definition spread (b : 'cV[F]_D) : 'M[F]_(D, N) := b *m const_mx 1.
Definition attn B Z := \sum_h WO B h *m WV B h *m Z *m sm ((WK B h *m Z)^T *m (WQ B h *m Z)).
Definition hidden B Z := phi (W1 B *m attn B Z + spread (b1 B)).
Definition step B Z := W2 B *m hidden B Z + spread (b2 B).
Fixpoint tokens (Bs : seq block) Z := if Bs is B :: Bs' then tokens Bs' (step B Z) else Z.
(** blocks Bs, then a last block Bl, then the output matrix Wo *)
Definition tfn Bs Bl (Wo : 'M[F]_D) Z := Wo *m step Bl (tokens Bs Z).

(** the matrix identities of one block; the tokens of the target are C times those of the network *)
Definition matches C B Bt := [/\
  forall h, (WK B h)^T *m WQ B h = C^T *m ((WK Bt h)^T *m WQ Bt h) *m C,
  forall h, W1 B *m (WO B h *m WV B h) = W1 Bt *m (WO Bt h *m WV Bt h) *m C & b1 B = b1 Bt].

Fixpoint certificate C Bs Bl (Wo : 'M[F]_D) Bts Btl (Wot : 'M[F]_D) : Prop :=
  match Bs, Bts with
  | [::], [::] => [/\ matches C Bl Btl, Wo *m W2 Bl = Wot *m W2 Btl & Wo *m b2 Bl = Wot *m b2 Btl]
  | B :: Bs', Bt :: Bts' => matches C B Bt /\
      exists C', [/\ C' *m W2 B = W2 Bt, C' *m b2 B = b2 Bt & certificate C' Bs' Bl Wo Bts' Btl Wot]
  | _, _ => False
  end.

Lemma hidden_eq C B Bt Z : matches C B Bt -> hidden B Z = hidden Bt (C *m Z).
Proof.
case=> eM eN eb; rewrite /hidden eb /attn !mulmx_sumr; congr (phi (_ + _)).
apply: eq_bigr => h _; rewrite !trmx_mul.
have -> : Z^T *m (WK B h)^T *m (WQ B h *m Z) = Z^T *m ((WK B h)^T *m WQ B h) *m Z by rewrite !mulmxA.
have -> : Z^T *m C^T *m (WK Bt h)^T *m (WQ Bt h *m (C *m Z)) = Z^T *m (C^T *m ((WK Bt h)^T *m WQ Bt h) *m C) *m Z.
  by rewrite !mulmxA.
by rewrite eM; move: (eN h); rewrite !mulmxA => ->.
Qed.

(** equality of the products implies equality of the outputs, on every input *)
Theorem certified C Bs Bl Wo Bts Btl Wot Z : certificate C Bs Bl Wo Bts Btl Wot ->
  tfn Bs Bl Wo Z = tfn Bts Btl Wot (C *m Z).
Proof.
rewrite /tfn; elim: Bs Bts C Z => [|B Bs IH] [|Bt Bts] C Z //=.
  case=> mt eW eb; rewrite /step -(hidden_eq _ mt) !mulmxDr !mulmxA eW.
  by rewrite /spread ?mulmxA eb.
case=> mt [C' [eW eb ce]]; rewrite (IH _ C' _ ce) /=.
congr (_ *m step _ (tokens _ _)); rewrite /step -(hidden_eq _ mt) mulmxDr mulmxA eW.
by rewrite /spread ?mulmxA eb.
Qed.

Lemma two_factors (A B T : 'M[F]_D) R : A \in unitmx -> B \in unitmx ->
  (\rank ((T - B *m A)%R) <= R + R)%N ->
  exists p : 'M[F]_D * 'M[F]_D, [/\ (\rank ((p.1 - A)%R) <= R)%N, (\rank ((p.2 - B)%R) <= R)%N & p.2 *m p.1 = T].
Proof.
move=> Au Bu rT; have := @lemma1_exists F D [:: A; B] [:: R; R] T erefl.
rewrite /= Au Bu mul1mx addn0 => /(_ isT rT) [[|D1 [|D2 [|D3 Ds]]]] //=; try by rewrite /ranks_le /= ?andbF.
rewrite /ranks_le /= andbT mul1mx => /andP[r1 r2] defT.
by exists (A + D1, B + D2); split=> //=; rewrite addrC addKr.
Qed.

Definition frozen_ok B := [/\ forall h, [/\ WQ B h \in unitmx, WK B h \in unitmx, WV B h \in unitmx & WO B h \in unitmx],
  W1 B \in unitmx & W2 B \in unitmx].

(** the rank-based functionality gaps of one block *)
Definition gap_le R C B Bt := forall h,
  (\rank ((C^T *m ((WK Bt h)^T *m WQ Bt h) *m C - (WK B h)^T *m WQ B h)%R) <= R + R)%N /\
  (\rank ((W1 Bt *m (WO Bt h *m WV Bt h) *m C - W1 B *m (WO B h *m WV B h))%R) <= R + R)%N.

(** B' arises from B by adapters of rank at most R on the attention matrices; biases are free *)
Definition heads_adapted R B B' := forall h,
  [/\ (\rank ((WQ B' h - WQ B h)%R) <= R)%N, (\rank ((WK B' h - WK B h)%R) <= R)%N,
    (\rank ((WV B' h - WV B h)%R) <= R)%N & (\rank ((WO B' h - WO B h)%R) <= R)%N].

Lemma match_block R C B Bt : frozen_ok B -> gap_le R C B Bt -> forall W c,
  exists B', [/\ matches C B' Bt, W2 B' = W, b2 B' = c, W1 B' = W1 B & heads_adapted R B B'].
Proof.
case=> unitB W1u W2u gap W c.
have /fin_all_exists[fQK QKP] : forall h, exists p : 'M[F]_D * 'M[F]_D,
    [/\ (\rank ((p.1 - WQ B h)%R) <= R)%N, (\rank ((p.2 - (WK B h)^T)%R) <= R)%N &
        p.2 *m p.1 = C^T *m ((WK Bt h)^T *m WQ Bt h) *m C].
  by move=> h; have [Qu Ku _ _] := unitB h; apply: two_factors; rewrite ?unitmx_tr //; case: (gap h).
have /fin_all_exists[fVO VOP] : forall h, exists p : 'M[F]_D * 'M[F]_D,
    [/\ (\rank ((p.1 - WV B h)%R) <= R)%N, (\rank ((p.2 - WO B h)%R) <= R)%N &
        p.2 *m p.1 = invmx (W1 B) *m (W1 Bt *m (WO Bt h *m WV Bt h) *m C)].
  move=> h; have [_ _ Vu Ou] := unitB h; apply: two_factors => //.
  have -> : WO B h *m WV B h = invmx (W1 B) *m (W1 B *m (WO B h *m WV B h)) by rewrite mulKmx.
  by rewrite -mulmxBr; apply: leq_trans (mxrankM_maxr _ _) _; case: (gap h).
exists (Block (fun h => (fQK h).1) (fun h => (fQK h).2^T) (fun h => (fVO h).1) (fun h => (fVO h).2) (W1 B) W (b1 Bt) c).
split=> //=.
  split=> //= h; first by rewrite trmxK; case: (QKP h).
  by case: (VOP h) => _ _ ->; rewrite mulKVmx.
move=> h; have [rQ rK _] := QKP h; have [rV rO _] := VOP h; split=> //.
by rewrite -mxrank_tr raddfB /= trmxK.
Qed.

Definition cal B Bt := W2 Bt *m invmx (W2 B).

Fixpoint gaps_le R C Bs Bl Bts Btl := match Bs, Bts with
  | B :: Bs', Bt :: Bts' => gap_le R C B Bt /\ gaps_le R (cal B Bt) Bs' Bl Bts' Btl
  | _, _ => gap_le R C Bl Btl end.

Fixpoint all_ok (P : block -> Prop) Bs := if Bs is B :: Bs' then P B /\ all_ok P Bs' else True.

Fixpoint all_adapted R Bs Bs' := match Bs, Bs' with
  | B :: Bs1, B' :: Bs1' =>
      [/\ W1 B' = W1 B, W2 B' = W2 B, heads_adapted R B B' & all_adapted R Bs1 Bs1']
  | [::], [::] => True
  | _, _ => False end.

Lemma theorem7_cert R C Bs Bl Wo Bts Btl Wot : size Bs = size Bts ->
  all_ok frozen_ok Bs -> frozen_ok Bl -> Wo \in unitmx ->
  all_ok (fun Bt => W2 Bt \in unitmx) Bts -> Wot *m W2 Btl \in unitmx ->
  gaps_le R C Bs Bl Bts Btl -> (\rank ((Wot *m W2 Btl - Wo *m W2 Bl)%R) <= R + R)%N ->
  exists Bs' Bl' Wo', [/\ all_adapted R Bs Bs', W1 Bl' = W1 Bl, heads_adapted R Bl Bl',
    (\rank ((W2 Bl' - W2 Bl)%R) <= R)%N /\ (\rank ((Wo' - Wo)%R) <= R)%N &
    certificate C Bs' Bl' Wo' Bts Btl Wot].
Proof.
move=> eq_sz Bsok Blok Wou Btsu ou gaps rlast.
elim: Bs Bts C eq_sz Bsok Btsu gaps => [|B Bs IH] [|Bt Bts] //= C.
  move=> _ _ _ gap; have [_ _ W2u] := Blok; have [[W2' Wo'] /= [r2 ro eW]] := two_factors W2u Wou rlast.
  have Wou' : Wo' \in unitmx by move: ou; rewrite -eW unitmx_mul => /andP[].
  have [B' [mt eW2 eb2 eW1 rh]] := match_block Blok gap W2' (invmx Wo' *m (Wot *m b2 Btl)).
  exists [::], B', Wo'; split; rewrite ?eW2 //; split=> //; first by rewrite eW2.
  by rewrite eb2 mulKVmx.
move=> [eq_sz] [Bok Bsok] [W2tu Btsu] [gap gaps]; have [_ _ W2u] := Bok.
have [B' [mt eW2 eb2 eW1 rh]] := match_block Bok gap (W2 B) (W2 B *m (invmx (W2 Bt) *m b2 Bt)).
have [Bs' [Bl' [Wo' [ad eW1l rl ro ce]]]] := IH Bts (cal B Bt) eq_sz Bsok Btsu gaps.
exists (B' :: Bs'), Bl', Wo'; split=> //=; split=> //.
exists (cal B Bt); split=> //; first by rewrite eW2 /cal mulmxKV.
by rewrite eb2 /cal -mulmxA mulKmx // mulKVmx.
Qed.

(** Theorem 7 of Zeng & Lee: equality on every input, no bounded set, no condition on truncations *)
Theorem theorem7 R Bs Bl Wo Bts Btl Wot : size Bs = size Bts ->
  all_ok frozen_ok Bs -> frozen_ok Bl -> Wo \in unitmx ->
  all_ok (fun Bt => W2 Bt \in unitmx) Bts -> Wot *m W2 Btl \in unitmx ->
  gaps_le R 1%:M Bs Bl Bts Btl -> (\rank ((Wot *m W2 Btl - Wo *m W2 Bl)%R) <= R + R)%N ->
  exists Bs' Bl' Wo', [/\ all_adapted R Bs Bs', W1 Bl' = W1 Bl, heads_adapted R Bl Bl',
    (\rank ((W2 Bl' - W2 Bl)%R) <= R)%N /\ (\rank ((Wo' - Wo)%R) <= R)%N &
    forall Z, tfn Bs' Bl' Wo' Z = tfn Bts Btl Wot Z].
Proof.
move=> sz Bsok Blok Wou Btsu ou gaps rlast.
have [Bs' [Bl' [Wo' [ad e1 rl ro ce]]]] := theorem7_cert sz Bsok Blok Wou Btsu ou gaps rlast.
by exists Bs', Bl', Wo'; split=> // Z; rewrite (certified _ ce) mul1mx.
Qed.

(** the corollary for generic weights: rank ceil(D/2) suffices *)
Corollary theorem7_half R Bs Bl Wo Bts Btl Wot : (D <= R + R)%N -> size Bs = size Bts ->
  all_ok frozen_ok Bs -> frozen_ok Bl -> Wo \in unitmx ->
  all_ok (fun Bt => W2 Bt \in unitmx) Bts -> Wot *m W2 Btl \in unitmx ->
  exists Bs' Bl' Wo', [/\ all_adapted R Bs Bs', W1 Bl' = W1 Bl, heads_adapted R Bl Bl',
    (\rank ((W2 Bl' - W2 Bl)%R) <= R)%N /\ (\rank ((Wo' - Wo)%R) <= R)%N &
    forall Z, tfn Bs' Bl' Wo' Z = tfn Bts Btl Wot Z].
Proof.
move=> DR sz Bsok Blok Wou Btsu ou; have rk (A : 'M[F]_D) : (\rank A <= R + R)%N.
  exact: leq_trans (rank_leq_row _) DR.
apply: theorem7 => //; elim: Bs Bts 1%:M {sz Bsok Btsu} => [|B Bs IH] [|Bt Bts] C //=; split=> //.
Qed.
End Transformer.
