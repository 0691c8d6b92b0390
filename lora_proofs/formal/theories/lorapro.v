(** * LoRA-Pro: descent, and the choice of X

    Wang, Liang, He, Wang & Tan (arXiv 2407.18242).  The gradients [gA], [gB] and
    what they make of the full gradient g, [gt], are those of [related]; A and B
    have full rank, s is not 0, X is arbitrary.
      [lorapro_descent]  Theorem 2.2: the change of the loss to first order,
                         - <g, gt>, is - |gt|^2
      [sylvester_unique] Theorem 2.3: B^T B X + X A A^T = Y has at most one
                         solution ...
      [lorapro_choice]   ... and the X that solves it for
                         Y = - s^-2 (B^T B)^-1 gA_lora A^T
                         brings the pair closest to plain LoRA's gradients
                         s B^T g and s g A^T. *)
From mathcomp Require Import all_ssreflect all_algebra.
From LoraProofs Require Import compat vectors related.
Set Implicit Arguments. Unset Strict Implicit. Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section LoRAPro.
Variables (F : realFieldType) (m n r : nat) (B : 'M[F]_(m, r)) (A : 'M[F]_(r, n)) (g : 'M[F]_(m, n)) (s : F).
Hypotheses (Bu : B^T *m B \in unitmx) (Au : A *m A^T \in unitmx) (s0 : s != 0).
Implicit Types X Y Z : 'M[F]_r.

Theorem lorapro_descent X : inner g (gt B A g s X) = sqnorm (gt B A g s X).
Proof.
have [nB nA] := lorapro_normal g X Bu Au s0; set G := gt _ _ _ _ _ in nB nA *.
suff : inner (G - g) G = 0 by rewrite innerBl => /eqP; rewrite subr_eq0 => /eqP <-.
have RB : (G - g)^T *m B = 0 by rewrite -[LHS]trmxK trmx_mul trmxK nB trmx0.
have RA : A *m (G - g)^T = 0 by rewrite -[LHS]trmxK trmx_mul trmxK nA trmx0.
rewrite {2}/G /gt innerDr !innerZr /inner mulmxA RB mul0mx mxtrace0 mulr0 add0r.
by rewrite mulmxA mxtrace_mulC mulmxA RA mul0mx mxtrace0 mulr0.
Qed.

Lemma sylvester_form X : inner X (B^T *m B *m X + X *m (A *m A^T)) = sqnorm (B *m X) + sqnorm (X *m A).
Proof.
rewrite innerDr /sqnorm /inner !trmx_mul !mulmxA; congr (_ + _).
by rewrite mxtrace_mulC !mulmxA.
Qed.

Theorem sylvester_unique X Y : B^T *m B *m X + X *m (A *m A^T) = B^T *m B *m Y + Y *m (A *m A^T) -> X = Y.
Proof.
move=> XY; apply/eqP; rewrite -subr_eq0; set Z := X - Y.
have Z0 : B^T *m B *m Z + Z *m (A *m A^T) = 0.
  by rewrite /Z mulmxBr mulmxBl addrACA -opprD XY subrr.
have := sylvester_form Z; rewrite Z0 inner0r => /esym/eqP.
rewrite paddr_eq0 ?sqnorm_ge0 // => /andP[]; rewrite sqnorm_eq0 => /eqP BZ _.
by rewrite -[Z](mulKmx Bu) -(mulmxA B^T) BZ !mulmx0.
Qed.

(** the squared distance to plain LoRA's pair of gradients *)
Definition distance X := sqnorm (gA B A g s X - s *: (B^T *m g)) + sqnorm (gB B A g s X - s *: (g *m A^T)).

Lemma gA_move X Y : gA B A g s Y = gA B A g s X + (Y - X) *m A.
Proof. by rewrite /gA mulmxBl -addrA [X *m A + _]addrC subrK. Qed.

Lemma gB_move X Y : gB B A g s Y = gB B A g s X - B *m (Y - X).
Proof. by rewrite /gB mulmxBr opprB addrA subrK. Qed.

Theorem lorapro_choice X Y :
  B^T *m B *m X + X *m (A *m A^T) = - (s ^- 2 *: (invmx (B^T *m B) *m (s *: (B^T *m g)) *m A^T)) ->
  distance X <= distance Y.
Proof.
move=> sylv; rewrite /distance (gA_move X Y) (gB_move X Y) (addrAC (gA B A g s X)) (addrAC (gB B A g s X)).
set P := gA B A g s X - _; set Q := gB B A g s X - _; set Z := Y - X.
have PQ : P *m A^T = B^T *m Q.
  have B0 : B^T *m (1%:M - B *m invmx (B^T *m B) *m B^T) = 0.
    by rewrite mulmxBr mulmx1 !mulmxA mulmxV // mul1mx subrr.
  have -> : P *m A^T = - (B^T *m B *m X) - s *: (B^T *m g) *m A^T.
    rewrite /P /gA mulmxBl mulmxDl -scalemxAl -(mulmxA X A); congr (_ - _).
    by rewrite -[s ^- 2 *: _]opprK -sylv opprD subrK.
  have -> : B^T *m Q = B^T *m gB B A g s X - s *: (B^T *m (g *m A^T)) by rewrite /Q mulmxBr -scalemxAr.
  rewrite -scalemxAl !mulmxA; congr (_ - _); rewrite /gB mulmxBr -scalemxAr !(mulmxA B^T) B0.
  by rewrite !mul0mx scaler0 sub0r.
have cross : inner P (Z *m A) = inner Q (B *m Z).
  rewrite /inner mulmxA mxtrace_mulC !mulmxA; congr (\tr (_ *m Z)).
  by apply: trmx_inj; rewrite !trmx_mul !trmxK.
clear PQ; clearbody P Q Z; rewrite sqnormD sqnormB cross addrACA.
rewrite (_ : sqnorm P + inner Q (B *m Z) *+ 2 + (sqnorm Q - inner Q (B *m Z) *+ 2) = sqnorm P + sqnorm Q).
  by rewrite lerDl addr_ge0 ?sqnorm_ge0.
by rewrite addrACA subrr addr0.
Qed.

End LoRAPro.
