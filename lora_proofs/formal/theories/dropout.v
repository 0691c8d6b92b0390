(** * Dropout on a linear model is a ridge penalty

    Huang & Balestriero (arXiv 2410.09692).  One datum with terms z_j = x_j w_j
    and label y; dropout keeps each term with probability 1 - p, scaled by
    1 / (1 - p).  [risk] is the mean of the squared loss over all 2^n masks,
    term by term.
      [dropout_is_ridge] the mean is the loss without dropout plus
                         p / (1 - p) times the sum of the z_j^2.
    Summed over the data this is the penalty sum_j |X_j|^2 w_j^2. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp Require Import ring.
Set Implicit Arguments. Unset Strict Implicit. Unset Printing Implicit Defensive.
Import GRing.Theory.
Local Open Scope ring_scope.

Section Dropout.
Variables (F : fieldType) (p : F).
Hypothesis kept : 1 - p != 0.

Fixpoint risk (y : F) (zs : seq F) : F :=
  if zs is z :: zs' then p * risk y zs' + (1 - p) * risk (y - z / (1 - p)) zs' else y ^+ 2.

Theorem dropout_is_ridge y zs :
  risk y zs = (y - \sum_(z <- zs) z) ^+ 2 + p / (1 - p) * \sum_(z <- zs) z ^+ 2.
Proof.
elim: zs y => [|z zs IH] y; first by rewrite !big_nil mulr0 addr0 subr0.
rewrite !big_cons /= !IH; set S := \sum_(j <- zs) j; set T := \sum_(j <- zs) j ^+ 2.
by field.
Qed.

End Dropout.
