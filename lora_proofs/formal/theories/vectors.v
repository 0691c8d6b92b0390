(** * Inner product, squared norm, quadratic forms

    One notion each, for matrices of every shape; a column is a matrix with one
    column.
      [inner A B]  = tr A^T B, the sum of the products of the entries
      [sqnorm A]   = [inner A A], the squared Frobenius norm; of a column, the
                     squared Euclidean norm
      [form S X]   = tr X^T S X, a quadratic form, one value for all columns
    A matrix [V] with [V^T *m V = 1%:M] has orthonormal columns. *)
From mathcomp Require Import all_ssreflect all_algebra.
From LoraProofs Require Import compat.
Set Implicit Arguments. Unset Strict Implicit. Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

(** ** Transposes, entry by entry *)
Section Transpose.
Variable R : fieldType.

Lemma tr_add m n (A B : 'M[R]_(m, n)) : (A + B)^T = A^T + B^T.
Proof. by apply/matrixP=> i j; rewrite !mxE. Qed.

Lemma tr_opp m n (A : 'M[R]_(m, n)) : (- A)^T = - A^T.
Proof. by apply/matrixP=> i j; rewrite !mxE. Qed.

Lemma tr_sub m n (A B : 'M[R]_(m, n)) : (A - B)^T = A^T - B^T.
Proof. by rewrite tr_add tr_opp. Qed.

Lemma tr_scale m n a (A : 'M[R]_(m, n)) : (a *: A)^T = a *: A^T.
Proof. by apply/matrixP=> i j; rewrite !mxE. Qed.

Lemma tr_1x1 (A : 'M[R]_1) : A^T = A.
Proof. by apply/matrixP=> i j; rewrite mxE !ord1. Qed.

Lemma trace_opp n (A : 'M[R]_n) : \tr (- A) = - \tr A.
Proof. by rewrite -sumrN; apply: eq_bigr => i _; rewrite mxE. Qed.

Lemma trace_sub n (A B : 'M[R]_n) : \tr (A - B) = \tr A - \tr B.
Proof. by rewrite mxtraceD trace_opp. Qed.

End Transpose.

Section Inner.
Variable F : realFieldType.

Definition inner p q (A B : 'M[F]_(p, q)) : F := \tr (A^T *m B).
Definition sqnorm p q (A : 'M[F]_(p, q)) : F := inner A A.
Definition form p q (S : 'M[F]_p) (X : 'M[F]_(p, q)) : F := \tr (X^T *m S *m X).

(** ** Inner product *)
Section OneShape.
Variables p q : nat.
Implicit Types A B C : 'M[F]_(p, q).

Lemma inner_sum A B : inner A B = \sum_j \sum_i A i j * B i j.
Proof. by apply: eq_bigr => j _; rewrite mxE; apply: eq_bigr => i _; rewrite mxE. Qed.

Lemma innerC A B : inner A B = inner B A.
Proof. by rewrite /inner -mxtrace_tr trmx_mul trmxK. Qed.

Lemma innerDr A B C : inner A (B + C) = inner A B + inner A C.
Proof. by rewrite /inner mulmxDr mxtraceD. Qed.

Lemma innerDl A B C : inner (A + B) C = inner A C + inner B C.
Proof. by rewrite ![inner _ C]innerC innerDr. Qed.

Lemma innerZr A B a : inner A (a *: B) = a * inner A B.
Proof. by rewrite /inner -scalemxAr mxtraceZ. Qed.

Lemma innerZl A B a : inner (a *: A) B = a * inner A B.
Proof. by rewrite ![inner _ B]innerC innerZr. Qed.

Lemma innerNr A B : inner A (- B) = - inner A B.
Proof. by rewrite -scaleN1r innerZr mulN1r. Qed.

Lemma innerNl A B : inner (- A) B = - inner A B.
Proof. by rewrite ![inner _ B]innerC innerNr. Qed.

Lemma innerBr A B C : inner A (B - C) = inner A B - inner A C.
Proof. by rewrite innerDr innerNr. Qed.

Lemma innerBl A B C : inner (A - B) C = inner A C - inner B C.
Proof. by rewrite innerDl innerNl. Qed.

Lemma inner0r A : inner A 0 = 0.
Proof. by rewrite /inner mulmx0 mxtrace0. Qed.

Lemma inner0l A : inner 0 A = 0.
Proof. by rewrite innerC inner0r. Qed.

Lemma inner_tr A B : inner A^T B^T = inner A B.
Proof. by rewrite /inner trmxK mxtrace_mulC -mxtrace_tr trmx_mul trmxK. Qed.

(** ** Squared norm *)
Lemma sqnorm_sum A : sqnorm A = \sum_j \sum_i A i j ^+ 2.
Proof. by rewrite /sqnorm inner_sum; apply: eq_bigr => j _; apply: eq_bigr => i _; rewrite expr2. Qed.

Lemma sqnorm_ge0 A : 0 <= sqnorm A.
Proof. by rewrite sqnorm_sum; apply: sumr_ge0 => j _; apply: sumr_ge0 => i _; apply: sqr_ge0. Qed.

Lemma sqnorm_eq0 A : (sqnorm A == 0) = (A == 0).
Proof.
apply/eqP/eqP=> [|->]; last exact: inner0r.
rewrite sqnorm_sum => sum0; apply/matrixP=> i j; rewrite mxE; apply/eqP; rewrite -sqrf_eq0; apply/eqP.
move/psumr_eq0P: sum0 => /(_ (fun j _ => sumr_ge0 _ (fun i _ => sqr_ge0 (A i j))) j isT) /psumr_eq0P.
by apply=> // k _; apply: sqr_ge0.
Qed.

Lemma sqnorm_gt0 A : (0 < sqnorm A) = (A != 0).
Proof. by rewrite lt_def sqnorm_ge0 sqnorm_eq0 andbT. Qed.

Lemma sqnorm0 : sqnorm (0 : 'M[F]_(p, q)) = 0.
Proof. exact: inner0r. Qed.

Lemma sqnormN A : sqnorm (- A) = sqnorm A.
Proof. by rewrite /sqnorm innerNl innerNr opprK. Qed.

Lemma sqnormZ a A : sqnorm (a *: A) = a ^+ 2 * sqnorm A.
Proof. by rewrite /sqnorm innerZl innerZr mulrA expr2. Qed.

Lemma sqnormD A B : sqnorm (A + B) = sqnorm A + inner A B *+ 2 + sqnorm B.
Proof. by rewrite /sqnorm innerDl !innerDr [inner B A]innerC mulr2n !addrA. Qed.

Lemma sqnormB A B : sqnorm (A - B) = sqnorm A - inner A B *+ 2 + sqnorm B.
Proof. by rewrite sqnormD sqnormN innerNr mulNrn. Qed.

Lemma sqnorm_tr A : sqnorm A^T = sqnorm A.
Proof. exact: inner_tr. Qed.

(** 2 <A, B> <= |A|^2 + |B|^2 *)
Lemma inner_le A B : inner A B *+ 2 <= sqnorm A + sqnorm B.
Proof. by rewrite -subr_ge0 addrAC -sqnormB sqnorm_ge0. Qed.

End OneShape.

Lemma sqnorm_col n (x : 'cV[F]_n) : sqnorm x = \sum_i x i 0 ^+ 2.
Proof. by rewrite /sqnorm /inner trace_mx11 mxE; apply: eq_bigr => i _; rewrite mxE expr2. Qed.

Lemma sqnorm_11 n (x : 'cV[F]_n) : x^T *m x = (sqnorm x)%:M.
Proof. by rewrite [LHS]mx11_scalar /sqnorm /inner trace_mx11. Qed.

Lemma sqnormE n (x : 'cV[F]_n) : sqnorm x = (x^T *m x) 0 0.
Proof. by rewrite /sqnorm /inner trace_mx11. Qed.

Lemma sqnorm_col_mx p q r (X : 'M[F]_(p, r)) (Y : 'M[F]_(q, r)) : sqnorm (col_mx X Y) = sqnorm X + sqnorm Y.
Proof. by rewrite /sqnorm /inner tr_col_mx mul_row_col mxtraceD. Qed.

Lemma sqnorm_scalar (a : F) : sqnorm (a%:M : 'M[F]_1) = a ^+ 2.
Proof. by rewrite sqnormE tr_scalar_mx -scalar_mxM !mxE eqxx mulr1n expr2. Qed.

(** columns that are orthonormal keep norms, and shorten what they are applied to transposed *)
Lemma sqnorm_orth p q r (V : 'M[F]_(p, q)) (X : 'M[F]_(q, r)) : V^T *m V = 1%:M -> sqnorm (V *m X) = sqnorm X.
Proof. by move=> VV; rewrite /sqnorm /inner trmx_mul mulmxA -(mulmxA _ V^T) VV mulmx1. Qed.

Lemma bessel p q r (V : 'M[F]_(p, q)) (X : 'M[F]_(p, r)) : V^T *m V = 1%:M ->
  sqnorm (V^T *m X) <= sqnorm X.
Proof.
move=> VV; have := sqnorm_ge0 (X - V *m (V^T *m X)); rewrite sqnormB sqnorm_orth //.
have -> : inner X (V *m (V^T *m X)) = sqnorm (V^T *m X).
  by rewrite /sqnorm /inner trmx_mul trmxK mulmxA.
by rewrite mulr2n opprD addrA subrK subr_ge0.
Qed.

(** ** Quadratic forms *)
Lemma form_scalar p q a (X : 'M[F]_(p, q)) : form a%:M X = a * sqnorm X.
Proof. by rewrite /form mul_mx_scalar -scalemxAl mxtraceZ. Qed.

Lemma formB p q (S P : 'M[F]_p) (X : 'M[F]_(p, q)) : form (S - P) X = form S X - form P X.
Proof. by rewrite /form mulmxBr mulmxBl trace_sub. Qed.

Lemma formD_null p q (S : 'M[F]_p) (X Y : 'M[F]_(p, q)) : S^T = S -> \tr (X^T *m S *m Y) = 0 ->
  form S (X + Y) = form S X + form S Y.
Proof.
move=> Ssym XY; have YX : \tr (Y^T *m S *m X) = 0.
  by rewrite -mxtrace_tr !trmx_mul trmxK Ssym mulmxA XY.
by rewrite /form tr_add !mulmxDl !mulmxDr !mxtraceD XY YX addr0 add0r.
Qed.

Lemma formZ p q (S : 'M[F]_p) (X : 'M[F]_(p, q)) a : form S (a *: X) = a ^+ 2 * form S X.
Proof. by rewrite /form tr_scale -!scalemxAl -scalemxAr scalerA mxtraceZ expr2. Qed.

(** the form of an outer product *)
Lemma form_outer p q (S : 'M[F]_p) (z : 'cV[F]_p) (t : 'rV[F]_q) :
  form S (z *m t) = sqnorm t * form S z.
Proof.
rewrite /form trmx_mul !mulmxA -(mulmxA t^T) -(mulmxA t^T) [z^T *m _ *m z]mx11_scalar.
by rewrite mul_mx_scalar -scalemxAl mxtraceZ mulrC mxtrace_scalar mulr1n.
Qed.

Lemma form_cols p q (S : 'M[F]_p) (X : 'M[F]_(p, q)) : form S X = \sum_j form S (col j X).
Proof.
rewrite {1}/form {1}/mxtrace; apply: eq_bigr => j _; rewrite /form trace_mx11 tr_col -row_mul.
by rewrite !mxE; apply: eq_bigr => k _; rewrite !mxE.
Qed.

(** a form that is never negative on columns is never negative *)
Lemma form_ge0_cols p q (S : 'M[F]_p) (X : 'M[F]_(p, q)) :
  (forall z : 'cV_p, 0 <= form S z) -> 0 <= form S X.
Proof. by move=> S_ge0; rewrite form_cols; apply: sumr_ge0. Qed.

(** ** Other names for the same things *)
Lemma ip_ge0 p q (A : 'M[F]_(p, q)) : 0 <= inner A A.
Proof. exact: sqnorm_ge0. Qed.

Lemma ip_eq0 p q (A : 'M[F]_(p, q)) : inner A A = 0 -> A = 0.
Proof. by move/eqP; rewrite -/(sqnorm A) sqnorm_eq0 => /eqP. Qed.

End Inner.

Notation ip := inner (only parsing).
Notation ipDr := innerDr (only parsing).
Notation ipZr := innerZr (only parsing).
Notation ipNr := innerNr (only parsing).
Notation ipBr := innerBr (only parsing).
Notation ipC := innerC (only parsing).
Notation ip_sum := inner_sum (only parsing).
Notation form1 := form_scalar (only parsing).
