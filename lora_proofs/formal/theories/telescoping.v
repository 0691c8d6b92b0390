(* The identities under Lemma 1 of Zeng & Lee, for all sizes and rectangular layers W_l (n_{l+1} x n_l).

   [telescoping]
     says: prod_l (W_l + D_l) - prod_l W_l = sum_l S_l D_l P_{l-1}, S_l the product of the frozen layers after l and P_{l-1} that of the adapted ones before l.
     differs: nothing; any ring of scalars that is a field; layers are counted from 0.
   [rectangular_ranks_add]
     says: the rank of the change of a product of rectangular layers is at most the sum of the ranks of the changes.
   [invariant]
     says: in Lemma 1's construction S_l P_l = prod W + (the first l terms of E) after every layer; with l = L the adapted product is prod W + E.
     differs: E is any sum of terms E_l; of the singular value decomposition only this is used.
   [construction_ranks]
     says: the adapter of layer l in that construction has a rank of at most that of its term E_l. *)
From mathcomp Require Import all_ssreflect all_algebra.
From LoraProofs Require Import chain.
Set Implicit Arguments. Unset Strict Implicit. Unset Printing Implicit Defensive.
Import GRing.Theory.
Local Open Scope ring_scope.

Section Rectangular.
Variables (F : fieldType) (n : nat -> nat).
Implicit Types (W D : forall l, 'M[F]_(n l.+1, n l)).

(* layers 0, ..., l - 1 *)
Fixpoint before W l : 'M[F]_(n l, n 0) := if l is k.+1 then W k *m before W k else 1%:M.

(* layers l, ..., L - 1; pid_mx is the identity where it is used, at l = L *)
Fixpoint after W L l : 'M[F]_(n L, n l) :=
  if L is k.+1 then (if l == k.+1 then pid_mx (n l) else W k *m after W k l) else pid_mx (n l).

Definition plus W D := fun l => W l + D l.

Lemma after_all W L : after W L L = 1%:M.
Proof. by case: L => [|L] /=; rewrite ?eqxx pid_mx_1. Qed.

Theorem telescoping W D L :
  before (plus W D) L - before W L = \sum_(l < L) after W L l.+1 *m D l *m before (plus W D) l.
Proof.
elim: L => [|L IH]; first by rewrite big_ord0 subrr.
rewrite big_ord_recr after_all mul1mx -[before _ L.+1 - _]/((W L + D L) *m _ - W L *m _).
rewrite mulmxDl addrAC -mulmxBr IH mulmx_sumr; congr (_ + _); apply: eq_bigr => l _ /=.
by rewrite eqSS ltn_eqF // !mulmxA.
Qed.

Theorem rectangular_ranks_add W D L : (\rank ((before (plus W D) L - before W L)%R) <= \sum_(l < L) \rank (D l))%N.
Proof.
rewrite telescoping; elim/big_rec2: _ => [|l k A _ rA]; first by rewrite mxrank0.
apply: leq_trans (mxrank_add _ _) (leq_add _ rA).
exact: leq_trans (mxrankM_maxl _ _) (mxrankM_maxr _ _).
Qed.

Lemma after_step W L l : (l < L)%N -> after W L l = after W L l.+1 *m W l.
Proof.
elim: L => [//|L IH]; rewrite ltnS leq_eqVlt => /orP[/eqP ->|lL].
  by rewrite after_all mul1mx /= ltn_eqF // after_all mulmx1.
by rewrite /= eqSS !ltn_eqF ?ltnS ?(ltnW lL) // IH // mulmxA.
Qed.

Lemma after_before W L : after W L 0 = before W L.
Proof. by elim: L => [|L IH] /=; rewrite ?pid_mx_1 ?IH. Qed.
End Rectangular.

Section Invariant.
Variables (F : fieldType) (n L : nat) (W E : nat -> 'M[F]_n).
Let S l := @after F (fun=> n) W L l.
Let Pi := @before F (fun=> n) W L.

(* Lemma 1's construction: layer l is W_l + S_l^-1 E_l P_{l-1}^-1 *)
Fixpoint adapted_product l : 'M[F]_n :=
  if l is k.+1 then (W k + invmx (S k.+1) *m E k *m invmx (adapted_product k)) *m adapted_product k else 1%:M.

Definition construction l := invmx (S l.+1) *m E l *m invmx (adapted_product l).

Hypothesis frozen : forall l, (0 < l < L)%N -> W l \in unitmx.
Hypothesis partial : forall l, (0 < l < L)%N -> Pi + \sum_(k < l) E k \in unitmx.

Lemma after_unit l : (0 < l <= L)%N -> S l \in unitmx.
Proof.
move=> /andP[l0 lL]; move: lL l0; rewrite leq_eqVlt => /orP[/eqP ->|lL] l0; first by rewrite /S after_all unitmx1.
move: lL; move Ek: (L - l)%N => k; elim: k l Ek l0 => [|k IH] l Ek l0 lL.
  by move/eqP: Ek; rewrite subn_eq0 leqNgt lL.
rewrite /S after_step // unitmx_mul frozen ?l0 // andbT; case: (ltngtP l.+1 L) => [lL'||e].
- by apply: IH => //; rewrite subnS Ek.
- by rewrite ltnNge lL.
by rewrite e after_all unitmx1.
Qed.

Theorem invariant l : (l <= L)%N -> S l *m adapted_product l = Pi + \sum_(k < l) E k.
Proof.
elim: l => [_|l IH lL] /=; first by rewrite mulmx1 big_ord0 addr0 /S after_before.
have Pu : adapted_product l \in unitmx.
  case: (posnP l) => [->|l0]; first exact: unitmx1.
  have := partial (_ : 0 < l < L)%N; rewrite l0 lL => /(_ isT).
  by rewrite -IH ?(ltnW lL) // unitmx_mul => /andP[].
rewrite mulmxDl mulmxDr !mulmxA mulmxV ?after_unit // mul1mx mulmxKV //.
by rewrite /S -after_step // -/(S l) IH ?(ltnW lL) // big_ord_recr addrA.
Qed.

Corollary construction_exact : adapted_product L = Pi + \sum_(k < L) E k.
Proof. by rewrite -invariant // /S after_all mul1mx. Qed.

Lemma construction_ranks l : (\rank (construction l) <= \rank (E l))%N.
Proof. exact: leq_trans (mxrankM_maxl _ _) (mxrankM_maxr _ _). Qed.
End Invariant.

(* refuted: without the term of the first layer the sum is another one *)
Theorem telescoping_without_first (F : fieldType) (W := fun _ : nat => 0 : 'M[F]_1) (D := fun _ : nat => 1%:M : 'M[F]_1) :
  @before F (fun=> 1%N) (@plus F (fun=> 1%N) W D) 1 - @before F (fun=> 1%N) W 1 <> 0.
Proof. by rewrite /= /plus /W /D add0r !mulmx1 subr0 => /matrixP/(_ 0 0); rewrite !mxE => /eqP; rewrite oner_eq0. Qed.
