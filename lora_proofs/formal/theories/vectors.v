From mathcomp Require Import all_ssreflect all_algebra.
Set Implicit Arguments. Unset Strict Implicit. Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Forms.
Variable F : realFieldType.

Definition ip p q (A B : 'M[F]_(p, q)) : F := \tr (A^T *m B).
Definition form p q (A : 'M[F]_p) (X : 'M[F]_(p, q)) : F := \tr (X^T *m A *m X).

Lemma ipDr p q (A B C : 'M[F]_(p, q)) : ip A (B + C) = ip A B + ip A C.
Proof. by rewrite /ip mulmxDr mxtraceD. Qed.
Lemma ipZr p q (A B : 'M[F]_(p, q)) a : ip A (a *: B) = a * ip A B.
Proof. by rewrite /ip -scalemxAr mxtraceZ. Qed.
Lemma ipNr p q (A B : 'M[F]_(p, q)) : ip A (- B) = - ip A B.
Proof. by rewrite /ip mulmxN raddfN. Qed.
Lemma ipBr p q (A B C : 'M[F]_(p, q)) : ip A (B - C) = ip A B - ip A C.
Proof. by rewrite ipDr ipNr. Qed.
Lemma ipC p q (A B : 'M[F]_(p, q)) : ip A B = ip B A.
Proof. by rewrite /ip -mxtrace_tr trmx_mul trmxK. Qed.

Lemma ip_sum p q (A B : 'M[F]_(p, q)) : ip A B = \sum_j \sum_i A i j * B i j.
Proof. by apply: eq_bigr => j _; rewrite mxE; apply: eq_bigr => i _; rewrite mxE. Qed.

Lemma ip_ge0 p q (A : 'M[F]_(p, q)) : 0 <= ip A A.
Proof. by rewrite ip_sum; apply: sumr_ge0 => j _; apply: sumr_ge0 => i _; rewrite -expr2 sqr_ge0. Qed.

Lemma ip_eq0 p q (A : 'M[F]_(p, q)) : ip A A = 0 -> A = 0.
Proof.
have pos j i : 0 <= A i j * A i j by rewrite -expr2 sqr_ge0.
rewrite ip_sum => /psumr_eq0P h; apply/matrixP=> i j; rewrite mxE; apply/eqP; rewrite -sqrf_eq0 expr2.
by apply/eqP; move: i isT; apply/psumr_eq0P => //; apply: h => // k _; apply: sumr_ge0.
Qed.

Lemma form1 p q a (X : 'M[F]_(p, q)) : form a%:M X = a * ip X X.
Proof. by rewrite /form mul_mx_scalar -scalemxAl mxtraceZ. Qed.

Lemma formB p q (A B : 'M[F]_p) (X : 'M[F]_(p, q)) : form (A - B) X = form A X - form B X.
Proof. by rewrite /form mulmxBr mulmxBl raddfB. Qed.

Lemma formD_null p q (A : 'M[F]_p) (X Y : 'M[F]_(p, q)) : A^T = A -> \tr (X^T *m A *m Y) = 0 ->
  form A (X + Y) = form A X + form A Y.
Proof.
move=> As XY; have YX : \tr (Y^T *m A *m X) = 0.
  by rewrite -mxtrace_tr !trmx_mul trmxK As mulmxA XY.
rewrite /form (_ : (X + Y)^T = X^T + Y^T); last by apply/matrixP=> i j; rewrite !mxE.
by rewrite !mulmxDl !mulmxDr !mxtraceD XY YX addr0 add0r.
Qed.

Lemma formZ p q (A : 'M[F]_p) (X : 'M[F]_(p, q)) a : form A (a *: X) = a ^+ 2 * form A X.
Proof.
rewrite /form (_ : (a *: X)^T = a *: X^T); last by apply/matrixP=> i j; rewrite !mxE.
by rewrite -!scalemxAl -scalemxAr scalerA mxtraceZ expr2.
Qed.

Lemma form_outer p q (A : 'M[F]_p) (z : 'cV[F]_p) (t : 'rV[F]_q) :
  form A (z *m t) = ip t t * form A z.
Proof.
rewrite /form trmx_mul !mulmxA -(mulmxA t^T) -(mulmxA t^T) [z^T *m _ *m z]mx11_scalar.
by rewrite mul_mx_scalar -scalemxAl mxtraceZ mulrC mxtrace_scalar mulr1n.
Qed.

Lemma form_cols p q (A : 'M[F]_p) (X : 'M[F]_(p, q)) : form A X = \sum_j form A (col j X).
Proof.
rewrite {1}/form {1}/mxtrace; apply: eq_bigr => j _; rewrite /form trace_mx11 tr_col -row_mul.
by rewrite !mxE; apply: eq_bigr => k _; rewrite !mxE.
Qed.

Lemma form_ge0_cols p q (A : 'M[F]_p) (X : 'M[F]_(p, q)) :
  (forall z : 'cV_p, 0 <= form A z) -> 0 <= form A X.
Proof. by move=> A0; rewrite form_cols; apply: sumr_ge0. Qed.

Lemma eps_le0 (a : F) : (forall e, 0 < e -> a <= e) -> a <= 0.
Proof.
move=> ae; rewrite leNgt; apply/negP=> a0; have := ae (a / 2%:R); rewrite divr_gt0 ?ltr0n // => /(_ isT).
by rewrite leNgt ltr_pdivr_mulr ?ltr0n // mulr_natr mulr2n ltr_addl a0.
Qed.

Lemma small (d1 d2 : F) : 0 < d1 -> 0 < d2 -> exists t, [/\ 0 < t, t < 1, t < d1 & t < d2].
Proof.
move=> d10 d20; have h2 : (0 : F) < 2%:R by rewrite ltr0n.
exists (Num.min 1 (Num.min d1 d2) / 2%:R); set s := Num.min _ _.
have s0 : 0 < s by rewrite !lt_minr ltr01 d10 d20.
have sh : s / 2%:R < s by rewrite ltr_pdivr_mulr // mulr_natr mulr2n ltr_addl.
by rewrite divr_gt0 //; split=> //; apply: lt_le_trans sh _; rewrite !le_minl lexx ?orbT.
Qed.

Lemma scal_a (a f w b e s : F) : 0 < s -> a + f <= b + (1 - s) * f ->
  b <= a - s * - w + e * s -> f - w <= e.
Proof.
move=> s0 h hd; have h1 : s * f <= b - a.
  by move: h; rewrite mulrBl mul1r addrCA [a + f]addrC ler_add2l ler_subr_addr -ler_subr_addl.
move: hd; rewrite mulrN opprK -addrA -ler_subl_addl => /(le_trans h1).
by rewrite [e * s]mulrC -mulrDr ler_pmul2l // ler_subl_addl.
Qed.

Lemma scal_b (a f w b e t c g : F) : 0 < t -> 0 < c -> a + f <= b + (f + t * (c * g)) ->
  b <= a - t * (c * w) + e * c * t -> - (g - w) <= e.
Proof.
move=> t0 c0 h hd; have h1 : - (t * (c * g)) <= b - a.
  by rewrite ler_subr_addl ler_subl_addr; move: h; rewrite addrCA [a + f]addrC ler_add2l.
move: hd; rewrite -addrA -ler_subl_addl => /(le_trans h1).
rewrite addrC -ler_subl_addr opprK [X in X <= _]addrC => hd'.
rewrite -(ler_pmul2l (mulr_gt0 t0 c0)) mulrN mulrBr opprB -!mulrA [t * (c * e)](_ : _ = e * c * t) //.
by rewrite [RHS]mulrC [e * c]mulrC.
Qed.
End Forms.

Section SqNorm.
Variables (F : realFieldType).

Definition sqn n (x : 'cV[F]_n) : F := \sum_i x i 0 ^+ 2.

Lemma sqnE n (x : 'cV[F]_n) : sqn x = (x^T *m x) 0 0.
Proof. by rewrite mxE; apply: eq_bigr => i _; rewrite mxE expr2. Qed.

Lemma sqn_ge0 n (x : 'cV[F]_n) : 0 <= sqn x.
Proof. by apply: sumr_ge0 => i _; rewrite sqr_ge0. Qed.

Lemma sqnN n (x : 'cV[F]_n) : sqn (- x) = sqn x.
Proof. by apply: eq_bigr => i _; rewrite mxE sqrrN. Qed.

Lemma sqn_orth n m (V : 'M[F]_(m, n)) (x : 'cV[F]_n) : V^T *m V = 1%:M -> sqn (V *m x) = sqn x.
Proof. by move=> VV; rewrite !sqnE trmx_mul mulmxA -(mulmxA _ V^T) VV mulmx1. Qed.

Lemma sqn0 n (x : 'cV[F]_n) : (sqn x == 0) = (x == 0).
Proof.
apply/eqP/eqP=> [h|->]; last by rewrite /sqn big1 // => i _; rewrite mxE expr0n.
apply/colP=> i; rewrite mxE; apply/eqP; rewrite -sqrf_eq0.
by move/psumr_eq0P: h => -> // j _; rewrite sqr_ge0.
Qed.
End SqNorm.
