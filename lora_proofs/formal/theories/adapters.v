(** * Adapters as matrices: merging, ranks, shared factors

    Over any field:
      [merge]          Hu et al.: the merged weight W + s B A acts as the frozen
                       weight and the adapter beside it
      [start]          at B = 0 the output is the base model's, and the gradient
                       of A is 0, whatever A
      [rank_step]      GeLoRA: an update of rank r moves the rank of a weight by
                       at most r, up or down
      [shared_factors] LoTR: updates D_1, ..., D_L are A G_s B^T, with R columns
                       in the shared A and B, if and only if their columns
                       together, and their rows together, span at most R
                       dimensions
      [lora_stack]     so that L updates of rank r are of LoTR's form at rank L r
    Outside: that the ranks are attained by almost all factors. *)
From mathcomp Require Import all_ssreflect all_algebra.
Set Implicit Arguments. Unset Strict Implicit. Unset Printing Implicit Defensive.
Import GRing.Theory.
Local Open Scope ring_scope.

Section Adapters.
Variable F : fieldType.

Theorem merge m n r (W : 'M[F]_(m, n)) (B : 'M[F]_(m, r)) (A : 'M[F]_(r, n)) s (x : 'cV[F]_n) :
  (W + s *: (B *m A)) *m x = W *m x + s *: (B *m (A *m x)).
Proof. by rewrite mulmxDl -scalemxAl mulmxA. Qed.

(** the gradients of a loss with gradient G in the merged weight are s B^T G and s G A^T *)
Theorem start m n r (W G : 'M[F]_(m, n)) (B : 'M[F]_(m, r)) (A : 'M[F]_(r, n)) s : B = 0 ->
  W + s *: (B *m A) = W /\ s *: (B^T *m G) = 0.
Proof. by move=> ->; rewrite trmx0 !mul0mx !scaler0 addr0. Qed.

Theorem rank_step m n (W D : 'M[F]_(m, n)) :
  (\rank ((W + D)%R) <= \rank W + \rank D)%N /\ (\rank W <= \rank ((W + D)%R) + \rank D)%N.
Proof.
split; first exact: mxrank_add.
by rewrite -{1}[W](addrK D) -[\rank D]mxrank_opp; apply: mxrank_add.
Qed.

(** R rows whose span contains what spans at most R dimensions *)
Lemma span m n R (S : 'M[F]_(m, n)) : (\rank S <= R)%N -> exists T : 'M[F]_(R, n), (S <= T)%MS.
Proof.
move=> SR; exists (pid_mx (\rank S) *m row_base S); rewrite -(eq_row_base S).
by apply/submxP; exists (pid_mx (\rank S)); rewrite mulmxA pid_mx_id // pid_mx_1 mul1mx.
Qed.

Theorem shared_factors m n L R (D : 'I_L -> 'M[F]_(m, n)) :
  (exists (A : 'M[F]_(m, R)) (B : 'M[F]_(n, R)) (G : 'I_L -> 'M[F]_R), forall s, D s = A *m G s *m B^T) <->
  (\rank (\sum_s <<(D s)^T>>)%MS <= R)%N /\ (\rank (\sum_s <<D s>>)%MS <= R)%N.
Proof.
split=> [[A [B [G DE]]]|[/span[A cols] /span[B rows]]].
  split; apply: leq_trans (rank_leq_row _); [apply: (mxrankS (B := A^T)) | apply: (mxrankS (B := B^T))];
    apply/sumsmx_subP=> s _; rewrite genmxE DE ?submxMl //.
  by rewrite trmx_mul trmx_mul mulmxA submxMl.
pose pA := pinvmx A; pose pB := pinvmx B.
have onB s : D s *m pB *m B = D s.
  by rewrite mulmxKpV //; apply: submx_trans rows; apply: (sumsmx_sup s) => //; rewrite genmxE.
have onA s : (D s)^T *m pA *m A = (D s)^T.
  by rewrite mulmxKpV //; apply: submx_trans cols; apply: (sumsmx_sup s) => //; rewrite genmxE.
clearbody pA pB; exists A^T, B^T, (fun s => pA^T *m D s *m pB) => s; rewrite trmxK.
have -> : A^T *m (pA^T *m D s *m pB) *m B = A^T *m pA^T *m (D s *m pB *m B) by rewrite !mulmxA.
by apply: trmx_inj; rewrite onB !trmx_mul !trmxK mulmxA onA.
Qed.

Corollary lora_stack m n L r (D : 'I_L -> 'M[F]_(m, n)) : (forall s, \rank (D s) <= r)%N ->
  exists (A : 'M[F]_(m, L * r)) (B : 'M[F]_(n, L * r)) (G : 'I_L -> 'M[F]_(L * r)),
    forall s, D s = A *m G s *m B^T.
Proof.
move=> Dr; apply/shared_factors.
have sum (k l : nat) (E : 'I_L -> 'M[F]_(k, l)) : (forall s, \rank (E s) <= r)%N -> (\rank (\sum_s <<E s>>)%MS <= L * r)%N.
  move=> Er; apply: leq_trans (mxrank_sum_leqif _) _.
  rewrite -[X in (X * _)%N]card_ord -sum_nat_const; apply: leq_sum => s _ /=.
  by rewrite genmxE.
by split; apply: sum => // s; rewrite mxrank_tr.
Qed.

End Adapters.
