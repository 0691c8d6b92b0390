(* The squared loss: LoRA's objective along a line is a polynomial of degree four, and its coefficients are the gradient
   and the Hessian. So "second-order stationary point" is a definition here, and no assumption on derivatives is left.

   The objective is  F(u, v) = c/2 sum_k (<G_k, u v^T> - y_k)^2 + <S0, Q Q^T>,  Q = [u; v],  S0 symmetric:
   S0 = lam/2 gives the paper's objective with squared loss (c = 1/N), S0 = lam/2 + P the perturbed one.

   - line_expansion: F(u + t x, v + t y) = F + t slope + t^2/2 curvature + t^3 (..) + t^4 (..), for all t.
   - stationary_iff: the slope vanishes in all directions iff S Q = 0, with the slack matrix S = S0 - 1/2 [0 M; M^T 0].
   - local_min_sosp: a local minimum along lines is a second-order stationary point.
   - sosp_deficient_global: a rank-deficient second-order stationary point is global, among factors of every width.
   - sosp_rank_ge_d_global: if r >= d, every second-order stationary point is global.
   Differs from the print: the loss is the squared one; r >= d is not a theorem of the paper, whose Theorem 4.1 needs
   r(r+1)/2 > KN and almost every P. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp Require Import ring.
From LoraProofs Require Import compat vectors landscape.
Set Implicit Arguments. Unset Strict Implicit. Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Sign.
Variable F : realFieldType.

(* the first coefficient that is not zero decides the sign of a polynomial next to 0 *)
Lemma first_coefficient (a b c e d : F) : 0 < d ->
  (forall t, 0 < t -> t < d -> 0 <= a + t * b + t ^+ 2 * c + t ^+ 3 * e) -> 0 <= a.
Proof.
move=> d0 h; rewrite leNgt; apply/negP=> a0; pose K := `|b| + `|c| + `|e| + 1.
have K0 : 0 < K by rewrite ltr_pwDr ?ltr01 // !addr_ge0.
have [|t [t0 t1 td tK]] := @two_radii F d (- a / K) d0; first by rewrite divr_gt0 // oppr_gt0.
have := h t t0 td; have {}tK : t * K < - a by rewrite -ltr_pdivlMr.
have bound x k : t ^+ k.+1 * x <= t * `|x|.
  rewrite exprS -mulrA ler_pM2l //; apply: le_trans (ler_norm _) _.
  by rewrite normrM ler_piMl // normrX exprn_ile1 // ger0_norm // ltW.
have := bound b 0%N; have := bound c 1%N; have := bound e 2%N; rewrite expr1 => h1 h2 h3.
have : t * (`|b| + `|c| + `|e|) <= t * K by rewrite ler_pM2l // lerDl ler01.
move=> hK; apply/negP; rewrite -ltNge; apply: le_lt_trans (_ : a + t * K < 0); last by rewrite -ltrBrDl sub0r.
rewrite -!addrA lerD2l; apply: le_trans hK; rewrite !mulrDr -addrA.
by apply: lerD => //; apply: lerD.
Qed.
End Sign.

Section Squared.
Variables (F : realFieldType) (m n d : nat).
Variables (G : 'I_d -> 'M[F]_(m, n)) (y : 'I_d -> F) (c : F) (S0 : 'M[F]_(m + n)).
Hypotheses (c_ge0 : 0 <= c) (S0s : S0^T = S0).

Definition residual (D : 'M[F]_(m, n)) k := inner (G k) D - y k.
Definition squared (D : 'M[F]_(m, n)) : F := c / 2%:R * \sum_k residual D k ^+ 2.
(* minus the gradient of the loss *)
Definition pull (D : 'M[F]_(m, n)) := \sum_k (- (c * residual D k)) *: G k.
Definition objective r (u : 'M[F]_(m, r)) (v : 'M[F]_(n, r)) := obj squared S0 u v.

Section Point.
Variables (r : nat) (u : 'M[F]_(m, r)) (v : 'M[F]_(n, r)).
Let D := u *m v^T.
Let S := slack S0 (pull D).

Definition slope (x : 'M[F]_(m, r)) (z : 'M[F]_(n, r)) : F :=
  2%:R * \tr ((col_mx u v)^T *m S0 *m col_mx x z) - inner (pull D) (x *m v^T + u *m z^T).
Definition curvature (x : 'M[F]_(m, r)) (z : 'M[F]_(n, r)) : F :=
  2%:R * form S0 (col_mx x z) - 2%:R * inner (pull D) (x *m z^T) + c * \sum_k inner (G k) (x *m v^T + u *m z^T) ^+ 2.
Definition sosp := (forall x z, slope x z = 0) /\ (forall x z, 0 <= curvature x z).

Lemma pullE X : inner (pull D) X = - (c * \sum_k residual D k * inner (G k) X).
Proof.
rewrite innerC /pull /inner mulmx_sumr raddf_sum /= mulr_sumr -sumrN; apply: eq_bigr => k _.
by rewrite -scalemxAr mxtraceZ -/(inner _ _) innerC mulNr mulrA.
Qed.

Lemma formDt p (A : 'M[F]_p) (X Z : 'M[F]_(p, r)) t : A^T = A ->
  form A (X + t *: Z) = form A X + t * (2%:R * \tr (X^T *m A *m Z)) + t ^+ 2 * form A Z.
Proof.
move=> As; have ZX : \tr (Z^T *m A *m X) = \tr (X^T *m A *m Z).
  by rewrite -mxtrace_tr !trmx_mul trmxK As mulmxA.
rewrite /form (_ : (X + t *: Z)^T = X^T + t *: Z^T); last by apply/matrixP=> i j; rewrite !mxE.
rewrite !mulmxDl !mulmxDr -!scalemxAl -!scalemxAr !mxtraceD !mxtraceZ ZX; ring.
Qed.

(* the loss lies above its tangents *)
Lemma squared_tangent : tangent squared D (pull D).
Proof.
move=> E; rewrite pullE opprK /squared -subr_ge0.
have -> : c = c / 2%:R * 2%:R by rewrite divfK // pnatr_eq0.
rewrite [c / 2%:R * 2%:R / 2%:R](_ : _ = c / 2%:R); last by rewrite mulfK // pnatr_eq0.
rewrite -[_ * 2%:R * _]mulrA -mulrDr -mulrBr mulr_ge0 ?divr_ge0 ?ler0n // mulr_sumr -big_split -sumrB.
apply: sumr_ge0 => k _; rewrite /residual innerDr /=; set a := inner _ D; set b := inner _ E.
by rewrite (_ : _ - _ = b ^+ 2) ?sqr_ge0 //; ring.
Qed.

(* the objective along a line: an identity between polynomials in t *)
Theorem line_expansion x z t : objective (u + t *: x) (v + t *: z) =
  objective u v + t * slope x z + t ^+ 2 * (curvature x z / 2%:R)
  + t ^+ 3 * (c * \sum_k inner (G k) (x *m v^T + u *m z^T) * inner (G k) (x *m z^T))
  + t ^+ 4 * (c / 2%:R * \sum_k inner (G k) (x *m z^T) ^+ 2).
Proof.
pose a k := inner (G k) (x *m v^T + u *m z^T); pose b k := inner (G k) (x *m z^T).
rewrite /objective /obj -add_col_mx -scale_col_mx formDt //.
have DE : (u + t *: x) *m (v + t *: z)^T = D + t *: (x *m v^T + u *m z^T) + t ^+ 2 *: (x *m z^T).
  have -> : (v + t *: z)^T = v^T + t *: z^T by apply/matrixP=> i j; rewrite !mxE.
  rewrite mulmxDl !mulmxDr -!scalemxAl -!scalemxAr scalerA -expr2 -!addrA; congr (_ + _).
  by rewrite scalerDr addrCA addrA.
have -> : squared ((u + t *: x) *m (v + t *: z)^T) =
  squared D + t * (c * \sum_k residual D k * a k)
  + t ^+ 2 * (c * (\sum_k residual D k * b k) + c / 2%:R * \sum_k a k ^+ 2)
  + t ^+ 3 * (c * \sum_k a k * b k) + t ^+ 4 * (c / 2%:R * \sum_k b k ^+ 2).
  have half : c = c / 2%:R * 2%:R by rewrite divfK // pnatr_eq0.
  rewrite /squared DE; rewrite [X in t * (X * _)]half [X in X * (\sum_k residual D k * b k)]half.
  rewrite [X in t ^+ 3 * (X * _)]half; move: (c / 2%:R) => h.
  rewrite -[h * 2%:R * \sum_k residual D k * a k]mulrA -[h * 2%:R * \sum_k residual D k * b k]mulrA.
  rewrite -[h * 2%:R * \sum_k a k * b k]mulrA -mulrDr !(mulrCA _ h) -!mulrDr; congr (h * _).
  rewrite !mulr_sumr -!big_split /= ?mulr_sumr -!big_split /=; apply: eq_bigr => k _.
  by rewrite /residual -/(a k) -/(b k) innerDr innerZr innerDr innerZr -/(a k) -/(b k); ring.
rewrite /slope /curvature !pullE -/D /a /b.
move: (form S0 _) (form S0 _) (\tr _) (squared D) => f0 f2 f1 s0.
by move: (bigop 0 _ _) (bigop 0 _ _) (bigop 0 _ _) (bigop 0 _ _) (bigop 0 _ _) => s1 s2 s3 s4 s5; field.
Qed.

Lemma slack_sym : S^T = S.
Proof.
pose B := block_mx 0 (pull D) (pull D)^T 0.
have sy : B^T = B by rewrite tr_block_mx !trmx0 trmxK.
by apply/matrixP=> i j; rewrite /S /slack -/B -{1}S0s -{1}sy !mxE.
Qed.

Lemma slack_bilinear x z :
  2%:R * \tr ((col_mx u v)^T *m S *m col_mx x z) = slope x z.
Proof.
rewrite /S /slack /slope mulmxBr mulmxBl raddfB /= mulrBr; congr (_ - _).
rewrite -scalemxAr -scalemxAl mxtraceZ mulrA divff ?pnatr_eq0 // mul1r tr_col_mx mul_row_block !mulmx0 add0r addr0.
rewrite mul_row_col mxtraceD innerDr; congr (_ + _); first by rewrite /inner mulmxA [RHS]mxtrace_mulC mulmxA.
by rewrite [RHS]innerC /inner trmx_mul trmxK -(mulmxA z) [RHS]mxtrace_mulC.
Qed.

Lemma curvatureE x z : curvature x z =
  2%:R * form S (col_mx x z) + c * \sum_k inner (G k) (x *m v^T + u *m z^T) ^+ 2.
Proof. by rewrite slackE mulrBr. Qed.

(* the gradient is 2 S Q *)
Theorem stationary_iff : (forall x z, slope x z = 0) <-> S *m col_mx u v = 0.
Proof.
split=> [h|SQ x z]; last first.
  by rewrite -slack_bilinear -{1}slack_sym -trmx_mul SQ trmx0 mul0mx mxtrace0 mulr0.
have := h (usubmx (S *m col_mx u v)) (dsubmx (S *m col_mx u v)).
rewrite -slack_bilinear vsubmxK => /eqP; rewrite mulf_eq0 pnatr_eq0 /= => /eqP hS; apply: ip_eq0.
by rewrite -[RHS]hS /inner trmx_mul slack_sym.
Qed.

Lemma psd_global : S *m col_mx u v = 0 -> (forall z : 'cV_(m + n), 0 <= form S z) ->
  forall r' (u' : 'M[F]_(m, r')) (v' : 'M[F]_(n, r')), objective u v <= objective u' v'.
Proof.
move=> SQ Spos r' u' v'; have SQ' : 0 <= form S (col_mx u' v') by apply: form_ge0_cols.
have SQ0 : form S (col_mx u v) = 0 by rewrite /form -mulmxA SQ mulmx0 mxtrace0.
have := squared_tangent (u' *m v'^T - D); rewrite [D + _]addrC subrK innerBr => tg.
move/eqP: SQ0 SQ'; rewrite /S !slackE subr_eq0 subr_ge0 => /eqP e h; rewrite /objective /obj -/D e.
apply: le_trans (_ : squared (u' *m v'^T) + inner (pull D) (u' *m v'^T) <= _); last by rewrite lerD2l.
by move: tg; rewrite opprB addrA lerBlDr.
Qed.

(* a local minimum along every line is a second-order stationary point *)
Theorem local_min_sosp : local_min squared S0 u v -> sosp.
Proof.
move=> lm; have slope0 x z : 0 <= slope x z.
  have [e e0 h] := lm x z; apply: (@first_coefficient _ _ (curvature x z / 2%:R)
    (c * \sum_k inner (G k) (x *m v^T + u *m z^T) * inner (G k) (x *m z^T)) (c / 2%:R * \sum_k inner (G k) (x *m z^T) ^+ 2) _ e0).
  move=> t t0 te; have := h t t0 te; rewrite -/(objective _ _) -/(objective _ _) line_expansion.
  move: (objective u v) (slope x z) (curvature x z) (bigop 0 _ _) (bigop 0 _ _) => o s k s3 s4 le.
  by rewrite -(pmulr_rge0 _ t0) -(lerDl o); apply: le_trans le _; rewrite le_eqVlt (_ : _ == _) //; apply/eqP; ring.
have slopeN x z : slope (- x) (- z) = - slope x z.
  rewrite -!slack_bilinear -opp_col_mx mulmxN raddfN /= mulrN //.
have sl x z : slope x z = 0.
  by apply/eqP; rewrite eq_le slope0 -oppr_ge0 -slopeN slope0.
split=> // x z; have [e e0 h] := lm x z.
suff : 0 <= curvature x z / 2%:R by rewrite pmulr_lge0 // invr_gt0 ltr0n.
apply: (@first_coefficient _ _ (c * \sum_k inner (G k) (x *m v^T + u *m z^T) * inner (G k) (x *m z^T))
  (c / 2%:R * \sum_k inner (G k) (x *m z^T) ^+ 2) 0 _ e0).
move=> t t0 te; have := h t t0 te; rewrite -/(objective _ _) -/(objective _ _) line_expansion.
rewrite sl; move: (objective u v) (curvature x z) (bigop 0 _ _) (bigop 0 _ _) => o k s3 s4 le.
by rewrite -(pmulr_rge0 _ (exprn_gt0 2 t0)) -(lerDl o); apply: le_trans le _; rewrite le_eqVlt (_ : _ == _) //; apply/eqP; ring.
Qed.

(* rank-deficient second-order stationary points are global, among factors of every width *)
Theorem sosp_deficient_global (q : 'cV[F]_r) : sosp -> q != 0 -> u *m q = 0 -> v *m q = 0 ->
  forall r' (u' : 'M[F]_(m, r')) (v' : 'M[F]_(n, r')), objective u v <= objective u' v'.
Proof.
case=> /stationary_iff SQ pos q0 uq vq; apply: psd_global => // z.
have := pos (usubmx z *m q^T) (dsubmx z *m q^T); rewrite curvatureE -mul_col_mx vsubmxK form_outer big1 => [|k _].
  have qq0 : 0 < inner q^T q^T.
    by rewrite lt_def ip_ge0 andbT; apply: contraNneq q0 => /ip_eq0/(congr1 trmx); rewrite trmxK trmx0 => ->.
  by rewrite mulr0 addr0 !pmulr_rge0 // ltr0n.
rewrite (_ : _ + _ = 0); first by rewrite /inner mulmx0 mxtrace0 expr0n.
by rewrite -mulmxA -trmx_mul vq trmx0 mulmx0 add0r trmx_mul trmxK mulmxA uq mul0mx.
Qed.
End Point.
End Squared.

(* the paper's objective: S0 = lam/2, c = 1/N for the mean *)
Section LoRA.
Variables (F : realFieldType) (m n d : nat).
Variables (G : 'I_d -> 'M[F]_(m, n)) (y : 'I_d -> F) (c lam : F).
Hypotheses (c_ge0 : 0 <= c) (lam_ge0 : 0 <= lam).
Let S0 : 'M[F]_(m + n) := (lam / 2%:R)%:M.

Definition lora r (u : 'M[F]_(m, r)) (v : 'M[F]_(n, r)) : F :=
  c / 2%:R * (\sum_k (inner (G k) (u *m v^T) - y k) ^+ 2) + lam / 2%:R * (inner u u + inner v v).

Lemma inner_col r (u : 'M[F]_(m, r)) (v : 'M[F]_(n, r)) : inner (col_mx u v) (col_mx u v) = inner u u + inner v v.
Proof. by rewrite /inner tr_col_mx mul_row_col mxtraceD. Qed.

Lemma loraE r (u : 'M[F]_(m, r)) (v : 'M[F]_(n, r)) : objective G y c S0 u v = lora u v.
Proof. by rewrite /objective /obj /S0 form_scalar /sqnorm inner_col. Qed.

Lemma S0_sym : S0^T = S0.
Proof. exact: tr_scalar_mx. Qed.

Theorem sosp_rank_ge_d_global r (u : 'M[F]_(m, r)) (v : 'M[F]_(n, r)) : (d <= r)%N -> sosp G y c S0 u v ->
  forall r' (u' : 'M[F]_(m, r')) (v' : 'M[F]_(n, r')), lora u v <= lora u' v'.
Proof.
move=> dr [/(proj1 (stationary_iff G y c S0_sym u v)) SQ pos] r' u' v'; rewrite -!loraE; apply: psd_global => //.
apply: (@rank_ge_d F m n d r G (fun k => - (c * residual G y (u *m v^T) k)) lam c%:M u v dr lam_ge0 SQ).
move=> x z; have := pos x z; rewrite curvatureE /hess; congr (0 <= _ + _).
rewrite mul_mx_scalar -scalemxAl mxE; congr (_ * _); rewrite mxE; apply: eq_bigr => k _.
by rewrite !mxE expr2.
Qed.
End LoRA.
