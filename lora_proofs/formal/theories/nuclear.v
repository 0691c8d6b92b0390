(** * The variational form of the nuclear norm

    E = U diag(s_i^2) V^T with orthonormal columns in U and V has the singular
    values s_i^2.
    - [nuclear_lower]: u v^T = E implies 2 sum_i s_i^2 <= |u|^2 + |v|^2, for factors of
      every width.
    - [nuclear_attained]: u = U diag(s), v = V diag(s) attain it.
      differs: the singular values are given as squares, so that no square root is
      needed; E is rectangular. *)
From mathcomp Require Import all_ssreflect all_algebra.
From LoraProofs Require Import compat vectors.
Set Implicit Arguments. Unset Strict Implicit. Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Nuclear.
Variables (F : realFieldType) (m n k : nat) (U : 'M[F]_(m, k)) (V : 'M[F]_(n, k)) (s : 'rV[F]_k).
Hypotheses (UU : U^T *m U = 1%:M) (VV : V^T *m V = 1%:M).
Let E := U *m diag_mx (\row_i (s 0 i ^+ 2)) *m V^T.   (* singular values s_i^2 *)

Theorem nuclear_lower r (u : 'M[F]_(m, r)) (v : 'M[F]_(n, r)) : u *m v^T = E ->
  (\sum_i s 0 i ^+ 2) *+ 2 <= inner u u + inner v v.
Proof.
move=> uvE; have -> : \sum_i s 0 i ^+ 2 = inner (V^T *m v) (U^T *m u).
  rewrite /inner trmx_mul trmxK -mulmxA mxtrace_mulC.
  have -> : V *m (U^T *m u) *m v^T = V *m (U^T *m E) by rewrite -uvE !mulmxA.
  rewrite mulmxA mxtrace_mulC /E -!mulmxA (mulmxA V^T) VV mul1mx mxtrace_mulC -mulmxA UU mulmx1 mxtrace_diag.
  by apply: eq_bigr => i _; rewrite mxE.
by rewrite addrC; apply: le_trans (inner_le _ _) _; apply: lerD; rewrite -/(sqnorm _) ?bessel.
Qed.

Theorem nuclear_attained (u := U *m diag_mx s) (v := V *m diag_mx s) :
  u *m v^T = E /\ inner u u + inner v v = (\sum_i s 0 i ^+ 2) *+ 2.
Proof.
have ss : diag_mx s *m diag_mx s = diag_mx (\row_i (s 0 i ^+ 2)).
  by rewrite mulmx_diag; congr diag_mx; apply/rowP=> i; rewrite !mxE expr2.
split; first by rewrite /u /v trmx_mul tr_diag_mx mulmxA -(mulmxA U) ss.
have e (p : nat) (W : 'M[F]_(p, k)) : W^T *m W = 1%:M -> inner (W *m diag_mx s) (W *m diag_mx s) = \sum_i s 0 i ^+ 2.
  move=> WW; rewrite /inner trmx_mul tr_diag_mx mulmxA -(mulmxA _ W^T) WW mulmx1 ss mxtrace_diag.
  by apply: eq_bigr => i _; rewrite mxE.
by rewrite !e // mulr2n.
Qed.
End Nuclear.
