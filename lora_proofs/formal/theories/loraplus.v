(** * LoRA+: one step of the toy model f(x) = b a^T x

    Hayou, Ghosh & Yu (arXiv 2402.12354).  With U = f(x) - y, a step moves a by
    - eta_A U b x and b by - eta_B U a^T x.
      [decomposition] f changes by d_1 + d_2 + d_3, what A moves, what B moves,
                      and what both do: exact, for every step
      [closed]        p = a^T x and b follow a recursion in which the input
                      appears through |x|^2 alone, the one quantity that grows
                      with the width
      [equal_exponents] at |x|^2 = n, with b, U of the size of constants, d_1 is
                      n times eta_A and d_2 is eta_B times (a^T x)^2, so that
                      eta_A = c / n and eta_B = c' make both free of n *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp Require Import ring.
Set Implicit Arguments. Unset Strict Implicit. Unset Printing Implicit Defensive.
Import GRing.Theory.
Local Open Scope ring_scope.

Section Step.
Variables (F : fieldType) (n : nat) (a x : 'cV[F]_n) (b y etaA etaB : F).

Definition dot (u v : 'cV[F]_n) : F := (u^T *m v) 0 0.
Let U := b * dot a x - y.
Definition next_a := a - (etaA * U * b) *: x.
Definition next_b := b - etaB * U * dot a x.

Definition d1 := - etaA * U * b ^+ 2 * dot x x.
Definition d2 := - etaB * U * dot a x ^+ 2.
Definition d3 := etaA * etaB * U ^+ 2 * b * dot a x * dot x x.

Theorem closed : dot next_a x = dot a x - etaA * U * b * dot x x.
Proof.
rewrite /dot /next_a.
have -> : (a - (etaA * U * b) *: x)^T = a^T - (etaA * U * b) *: x^T by apply/matrixP=> i j; rewrite !mxE.
by rewrite mulmxBl -scalemxAl !mxE.
Qed.

Theorem decomposition : next_b * dot next_a x - b * dot a x = d1 + d2 + d3.
Proof. by rewrite closed /next_b /d1 /d2 /d3; ring. Qed.

Theorem equal_exponents c c' : n%:R != 0 :> F -> dot x x = n%:R -> etaA = c / n%:R -> etaB = c' ->
  d1 = - c * U * b ^+ 2 /\ d2 = - c' * U * dot a x ^+ 2.
Proof. by move=> n0 xn eA eB; rewrite /d1 /d2 xn eA eB; split=> //; field. Qed.

End Step.
