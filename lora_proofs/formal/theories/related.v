(** * Algebra of related papers

    - [adapter_iff], [gauge], [rank_merge], [params]: a matrix is a product of factors of
      width R exactly if its rank is at most R; factors are free up to a nonsingular
      R x R matrix; merged adapters have at most the sum of the ranks; the count 2 R D L.
    - [randlora]: RandLoRA, Lemma D.1.  differs: the factors are concatenated.
    - [nora_newton]: NoRA's Newton identity of a scaled step.  differs: nothing; any field.
    - [lorapro_residual], [lorapro_normal], [lorapro_optimal]: LoRA-Pro, Theorem 2.1: the
      residual of the equivalent gradient, the normal equations, optimality.
      differs: for every gauge X. *)
From mathcomp Require Import all_ssreflect all_algebra.
From LoraProofs Require Import compat vectors chain.
Set Implicit Arguments. Unset Strict Implicit. Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Misc.
Variable F : fieldType.

(** merged adapters *)
Lemma rank_merge m n (Ds : seq 'M[F]_(m, n)) : (\rank ((\sum_(D <- Ds) D)%R) <= \sum_(D <- Ds) \rank D)%N.
Proof.
elim: Ds => [|D Ds IH]; first by rewrite !big_nil mxrank0.
by rewrite !big_cons; apply: leq_trans (mxrank_add _ _) _; rewrite leq_add2l.
Qed.

(** a matrix is an adapter B A^T with R columns iff its rank is at most R *)
Lemma adapter_iff m n R (D : 'M[F]_(m, n)) :
  (\rank D <= R)%N <-> exists (B : 'M[F]_(m, R)) (A : 'M[F]_(n, R)), D = B *m A^T.
Proof.
split=> [rD|[B [A ->]]]; last exact: leq_trans (mxrankM_maxl _ _) (rank_leq_col _).
exists (col_base D *m pid_mx (\rank D)), (pid_mx (\rank D) *m row_base D)^T.
by rewrite trmxK mulmxA -(mulmxA (col_base D)) pid_mx_id // pid_mx_1 mulmx1 mulmx_base.
Qed.

(** gauge freedom of the factors *)
Lemma gauge m n R (B : 'M[F]_(m, R)) (A : 'M[F]_(n, R)) (G : 'M[F]_R) : G \in unitmx ->
  (B *m G) *m (A *m (invmx G)^T)^T = B *m A^T.
Proof. by move=> Gu; rewrite trmx_mul trmxK mulmxA -(mulmxA B) mulmxV // mulmx1. Qed.

(** RandLoRA, Lemma D.1: with all nr columns independent on both sides the sum of n terms has rank nr *)
Lemma randlora m n k (B : 'M[F]_(m, k)) (A : 'M[F]_(n, k)) :
  \rank B = k -> \rank A = k -> \rank (B *m A^T) = k.
Proof.
by move=> rB rA; rewrite mxrankMfree // /row_free mxrank_tr rA.
Qed.

(** NoRA: ScaledGD with step eta on (X X^T - A); P projects on the range of X *)
Theorem nora_newton m r (X : 'M[F]_(m, r)) (A : 'M[F]_m) (eta : F)
    (K := invmx (X^T *m X)) (E := X *m X^T - A) (X' := X - eta *: (E *m X *m K)) :
  X^T *m X \in unitmx -> A^T = A -> X *m K *m X^T *m E = E ->
  X' *m X'^T - A = (1 - eta *+ 2) *: E + eta ^+ 2 *: (E *m (X *m K *m K *m X^T) *m E).
Proof.
move=> Gu As PE; have Es : E^T = E by rewrite /E raddfB /= trmx_mul trmxK As.
have Ks : K^T = K by rewrite /K trmx_inv trmx_mul trmxK.
have EP : E *m X *m K *m X^T = E.
  by apply: trmx_inj; rewrite !trmx_mul trmxK Ks Es !mulmxA.
rewrite /X'; have -> : (X - eta *: (E *m X *m K))^T = X^T - eta *: (K *m X^T *m E).
  have <- : (E *m X *m K)^T = K *m X^T *m E by rewrite !trmx_mul Ks Es mulmxA.
  by apply/matrixP=> i j; rewrite !mxE.
have XX : X *m X^T = E + A by rewrite subrK.
move: PE EP XX; rewrite {X' Es As}; clearbody E K => PE EP XX.
rewrite mulmxBl !mulmxBr -!scalemxAl -!scalemxAr EP !mulmxA PE XX scalerA -expr2 scalerBl scale1r -scalerMnl mulr2n.
by rewrite opprB opprD addrAC [E + A - _ - A]addrAC addrK !addrA [LHS]addrAC.
Qed.

(** parameter counts: R = D / M, L = M Lbar: adapters have twice the parameters of the target *)
Lemma params D R L Lbar M : D = (R * M)%N -> L = (M * Lbar)%N ->
  (2 * R * D * L = 2 * D ^ 2 * Lbar)%N.
Proof. by move=> -> ->; rewrite expnS expn1 !mulnA -!mulnA; congr (2 * _)%N; rewrite mulnCA mulnC !mulnA; congr (_ * _)%N; rewrite -!mulnA; congr (_ * _)%N; rewrite mulnC -mulnA mulnCA. Qed.
End Misc.

Section LoRAPro.
Variables (F : realFieldType) (m n r : nat) (B : 'M[F]_(m, r)) (A : 'M[F]_(r, n)) (g : 'M[F]_(m, n)) (s : F).
Variable X : 'M[F]_r.
Hypotheses (Bu : B^T *m B \in unitmx) (Au : A *m A^T \in unitmx) (s0 : s != 0).
Let iB := invmx (B^T *m B).
Let iA := invmx (A *m A^T).
Let PB := B *m iB *m B^T.
Let PA := A^T *m iA *m A.
Definition gA := (s ^- 2) *: (iB *m (s *: (B^T *m g))) + X *m A.
Definition gB := (s ^- 2) *: ((1%:M - PB) *m (s *: (g *m A^T)) *m iA) - B *m X.
Definition gt := s *: (B *m gA) + s *: (gB *m A).

Lemma gtE : gt = PB *m g + (1%:M - PB) *m g *m PA.
Proof.
rewrite /gt /gA /gB -scalerDr mulmxDr [(_ - B *m X) *m A]mulmxBl addrACA (mulmxA B X) addrN addr0.
rewrite -!(scalemxAr, scalemxAl) !scalerA [s ^- 2 * s]mulrC -!scalerDr scalerA.
by rewrite mulrA -expr2 mulfV ?expf_neq0 // scale1r /PA /PB !mulmxA.
Qed.

Lemma BPB : B^T *m PB = B^T.
Proof. by rewrite /PB !mulmxA mulmxV // mul1mx. Qed.
Lemma PAA : PA *m A^T = A^T.
Proof. by rewrite /PA -!mulmxA mulVmx // mulmx1. Qed.

Theorem lorapro_residual : gt - g = - ((1%:M - PB) *m g *m (1%:M - PA)).
Proof.
rewrite gtE mulmxBr mulmx1 opprB addrAC addrC; congr (_ + _).
by rewrite mulmxBl mul1mx opprB.
Qed.

Theorem lorapro_normal : B^T *m (gt - g) = 0 /\ (gt - g) *m A^T = 0.
Proof.
have hB : B^T *m (1%:M - PB) = 0 by rewrite mulmxBr mulmx1 BPB subrr.
have hA : (1%:M - PA) *m A^T = 0 by rewrite mulmxBl mul1mx PAA subrr.
rewrite lorapro_residual mulmxN mulNmx -[_ *m A^T]mulmxA hA mulmx0 oppr0.
by rewrite -(mulmxA (1%:M - PB)) (mulmxA B^T) hB mul0mx oppr0.
Qed.

Theorem lorapro_optimal (YA : 'M[F]_(r, n)) (YB : 'M[F]_(m, r)) :
  inner (gt - g) (gt - g) <= inner (s *: (B *m YA) + s *: (YB *m A) - g) (s *: (B *m YA) + s *: (YB *m A) - g).
Proof.
have [nB nA] := lorapro_normal; set h := s *: (B *m YA) + _; set R := gt - g.
have orth (ZA : 'M[F]_(r, n)) (ZB : 'M[F]_(m, r)) : inner R (s *: (B *m ZA) + s *: (ZB *m A)) = 0.
  have RB : R^T *m B = 0 by rewrite -[LHS]trmxK trmx_mul trmxK nB trmx0.
  have RA : A *m R^T = 0 by rewrite -[LHS]trmxK trmx_mul trmxK nA trmx0.
  by rewrite innerDr !innerZr /inner mulmxA RB mul0mx mxtrace0 mulmxA mxtrace_mulC mulmxA RA mul0mx mxtrace0 !mulr0 addr0.
have hR : h - g = R + (h - gt) by rewrite /R [RHS]addrC addrA subrK.
have oR : inner R (h - gt) = 0.
  have -> : h - gt = s *: (B *m (YA - gA)) + s *: ((YB - gB) *m A).
    by rewrite (mulmxBr B) (mulmxBl YB) !(scalerBr s) addrACA -opprD.
  exact: orth.
rewrite hR; move: (h - gt) oR => q oR; clearbody R.
by rewrite innerDr ![inner (R + q) _]innerC !innerDr oR [inner q R]innerC oR addr0 add0r lerDl ip_ge0.
Qed.
End LoRAPro.
