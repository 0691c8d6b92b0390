(** * No spurious local minima: Jang, Lee and Ryu, sections 3 and 4

    The objective is ell (u v^T) + form S0 (u, v), with S0 = lam/2 I in the paper;
    -M is the gradient of ell at u v^T, and [slack] S = S0 - 1/2 [0 M; M^T 0].

    - [deficient_global]: a local minimum at which u and v have a common null vector
      is global, among factors of every width.
      differs: "local minimum" is asked along every line only, which makes the theorem
      stronger; of the loss, only a tangent from below and a directional derivative at
      u v^T are asked; S0 is any symmetric matrix.
    - [rank_ge_d]: if r >= d, a stationary point with nonnegative Hessian form has
      S >= 0.  differs: no genericity, any loss Hessian; that [hess] is the Hessian of
      the objective is proved for the squared loss in [squared_loss].
    - [rank_ge_d_global]: such a point is a global minimum among factors of every width.
      differs: as before; the loss has a tangent from below (convexity). *)
From mathcomp Require Import all_ssreflect all_algebra.
From LoraProofs Require Import compat vectors.
Set Implicit Arguments. Unset Strict Implicit. Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

(** ** Small positive numbers, of which an ordered field has enough *)
Section Small.
Variable F : realFieldType.

Lemma eps_le0 (a : F) : (forall e, 0 < e -> a <= e) -> a <= 0.
Proof.
move=> ae; rewrite leNgt; apply/negP=> a0; have := ae (a / 2%:R); rewrite divr_gt0 ?ltr0n // => /(_ isT).
by rewrite leNgt ltr_pdivrMr ?ltr0n // mulr_natr mulr2n ltrDl a0.
Qed.

Lemma two_radii (d1 d2 : F) : 0 < d1 -> 0 < d2 -> exists t, [/\ 0 < t, t < 1, t < d1 & t < d2].
Proof.
move=> d10 d20; have h2 : (0 : F) < 2%:R by rewrite ltr0n.
exists (Num.min 1 (Num.min d1 d2) / 2%:R); set s := Num.min _ _.
have s0 : 0 < s by rewrite !lt_min ltr01 d10 d20.
have sh : s / 2%:R < s by rewrite ltr_pdivrMr // mulr_natr mulr2n ltrDl.
by rewrite divr_gt0 //; split=> //; apply: lt_le_trans sh _; rewrite !ge_min lexx ?orbT.
Qed.

Lemma first_direction (a f w b e s : F) : 0 < s -> a + f <= b + (1 - s) * f ->
  b <= a - s * - w + e * s -> f - w <= e.
Proof.
move=> s0 h hd; have h1 : s * f <= b - a.
  by move: h; rewrite mulrBl mul1r addrCA [a + f]addrC lerD2l lerBrDr -lerBrDl.
move: hd; rewrite mulrN opprK -addrA -lerBlDl => /(le_trans h1).
by rewrite [e * s]mulrC -mulrDr ler_pM2l // lerBlDl.
Qed.

Lemma second_direction (a f w b e t c g : F) : 0 < t -> 0 < c -> a + f <= b + (f + t * (c * g)) ->
  b <= a - t * (c * w) + e * c * t -> - (g - w) <= e.
Proof.
move=> t0 c0 h hd; have h1 : - (t * (c * g)) <= b - a.
  by rewrite lerBrDl lerBlDr; move: h; rewrite addrCA [a + f]addrC lerD2l.
move: hd; rewrite -addrA -lerBlDl => /(le_trans h1).
rewrite addrC -lerBlDr opprK [X in X <= _]addrC => hd'.
rewrite -(ler_pM2l (mulr_gt0 t0 c0)) mulrN mulrBr opprB -!mulrA [t * (c * e)](_ : _ = e * c * t) //.
by rewrite [RHS]mulrC [e * c]mulrC.
Qed.
End Small.

Section Deficient.
Variables (F : realFieldType) (m n : nat).
Variable ell : 'M[F]_(m, n) -> F.       (* the loss as a function of the update *)
Variable S0 : 'M[F]_(m + n).            (* (lam/2) I + P, any symmetric matrix *)
Hypothesis S0s : S0^T = S0.

Definition obj r (u : 'M[F]_(m, r)) (v : 'M[F]_(n, r)) := ell (u *m v^T) + form S0 (col_mx u v).

(** - M is a gradient at D and ell lies above its tangent *)
Definition tangent (D M : 'M[F]_(m, n)) := forall E, ell D - inner M E <= ell (D + E).
Definition derivative (D M : 'M[F]_(m, n)) := forall E e, 0 < e -> exists2 d, 0 < d &
  forall s, 0 < s -> s < d -> ell (D + s *: E) <= ell D - s * inner M E + e * s.

Definition local_min r (u : 'M[F]_(m, r)) (v : 'M[F]_(n, r)) := forall x y, exists2 d, 0 < d &
  forall t, 0 < t -> t < d -> obj u v <= obj (u + t *: x) (v + t *: y).

Definition slack (M : 'M[F]_(m, n)) := S0 - 2%:R^-1 *: block_mx 0 M M^T 0.

Lemma slackE M r (u : 'M[F]_(m, r)) (v : 'M[F]_(n, r)) :
  form (slack M) (col_mx u v) = form S0 (col_mx u v) - inner M (u *m v^T).
Proof.
rewrite formB; congr (_ - _); rewrite /form -scalemxAr -scalemxAl mxtraceZ.
rewrite tr_col_mx mul_row_block !mulmx0 add0r addr0 mul_row_col mxtraceD.
have -> : \tr (v^T *m M^T *m u) = inner M (u *m v^T) by rewrite /inner mulmxA [RHS]mxtrace_mulC mulmxA.
have -> : \tr (u^T *m M *m v) = inner M (u *m v^T).
  by rewrite innerC /inner trmx_mul trmxK -(mulmxA v) [RHS]mxtrace_mulC.
by rewrite -[_ + _]mulr2n -(mulr_natl (inner M _)) mulKf // pnatr_eq0.
Qed.

(** the heart of "no spurious local minima": a rank-deficient local minimum is global, among all ranks *)
Theorem deficient_global r (u : 'M[F]_(m, r)) (v : 'M[F]_(n, r)) M (q : 'cV[F]_r) :
  tangent (u *m v^T) M -> derivative (u *m v^T) M -> local_min u v ->
  q != 0 -> u *m q = 0 -> v *m q = 0 ->
  forall r' (u' : 'M[F]_(m, r')) (v' : 'M[F]_(n, r')), obj u v <= obj u' v'.
Proof.
move=> tg der lm q0 uq vq; set D := u *m v^T; set Q := col_mx u v.
have SQ : form (slack M) Q <= 0.
  apply: eps_le0 => e e0; rewrite slackE -/D -/Q.
  have [d1 d10 lmP] := lm (- u) (- v); have [d2 d20 derP] := der (- D) e e0.
  have [|t [t0 t1 td1 td2]] := @two_radii F d1 (d2 / 2%:R) d10; first by rewrite divr_gt0 ?ltr0n.
  pose s := t * (2%:R - t); have s0 : 0 < s by rewrite mulr_gt0 // subr_gt0 (lt_trans t1) // ltr1n.
  have sd : s < d2.
    apply: lt_trans (_ : t * 2%:R < _); first by rewrite ltr_pM2l // gtrDl oppr_lt0.
    by rewrite -ltr_pdivlMr // ltr0n.
  have := lmP t t0 td1; rewrite /obj.
  have -> : u + t *: - u = (1 - t) *: u by rewrite scalerBl scale1r scalerN.
  have -> : v + t *: - v = (1 - t) *: v by rewrite scalerBl scale1r scalerN.
  rewrite -scale_col_mx formZ -/Q tr_scale -scalemxAr -scalemxAl scalerA -/D.
  have sE : (1 - t) * (1 - t) = 1 - s.
    by rewrite -expr2 sqrrB expr1n mul1r /s mulrBr mulr_natr opprB expr2 addrA addrAC.
  rewrite expr2 sE scalerBl scale1r -scalerN => h.
  by have := derP s s0 sd; rewrite innerNr; apply: first_direction.
have S_ge0 (z : 'cV[F]_(m + n)) : 0 <= form (slack M) z.
  rewrite -oppr_le0; apply: eps_le0 => e e0.
  set z1 := usubmx z; set z2 := dsubmx z; have zE : z = col_mx z1 z2 by rewrite vsubmxK.
  pose E := inner q q *: (z1 *m z2^T).
  have qq0 : 0 < inner q q by rewrite -/(sqnorm q) sqnorm_gt0.
  have [d1 d10 lmP] := lm (z1 *m q^T) (z2 *m q^T); have [d2 d20 derP] := der E (e * inner q q) (mulr_gt0 e0 qq0).
  have [t [t0 t1 td1 td2]] := two_radii d10 d20; have := lmP t t0 td1; rewrite /obj.
  have -> : (u + t *: (z1 *m q^T)) *m (v + t *: (z2 *m q^T))^T = D + t ^+ 2 *: E.
    have -> : (v + t *: (z2 *m q^T))^T = v^T + t *: (q *m z2^T) by rewrite tr_add tr_scale trmx_mul trmxK.
    rewrite mulmxDl !mulmxDr -!scalemxAl -!scalemxAr mulmxA uq mul0mx scaler0 addr0.
    have -> : z1 *m q^T *m v^T = 0 by rewrite -mulmxA -trmx_mul vq trmx0 mulmx0.
    rewrite scaler0 add0r -/D scalerA -expr2 /E -(mulmxA z1) (mulmxA q^T) [q^T *m q]mx11_scalar mul_scalar_mx.
    by rewrite -scalemxAr /inner trace_mx11.
  have -> : form S0 (col_mx (u + t *: (z1 *m q^T)) (v + t *: (z2 *m q^T))) = form S0 Q + t ^+ 2 * (inner q q * form S0 z).
    rewrite -add_col_mx -scale_col_mx -mul_col_mx -zE formD_null //.
      by rewrite formZ form_outer sqnorm_tr.
    rewrite -scalemxAr mxtraceZ mxtrace_mulC !mulmxA.
    have -> : z *m q^T *m Q^T = 0 by rewrite -mulmxA -trmx_mul /Q mul_col_mx uq vq col_mx0 trmx0 mulmx0.
    by rewrite mul0mx mxtrace0 mulr0.
  move=> h; have := derP (t ^+ 2) (exprn_gt0 _ t0); rewrite {1}/E innerZr => /(_ _) hd.
  rewrite zE slackE -zE; apply: (second_direction (exprn_gt0 2 t0) qq0 h); apply: hd.
  by apply: lt_trans td2; rewrite expr2 gtr_pMl.
move=> r' u' v'; have SQ' : 0 <= form (slack M) (col_mx u' v') by apply: form_ge0_cols.
have := tg (u' *m v'^T - D); rewrite -/D [D + _]addrC subrK innerBr => tg'.
move: SQ SQ'; rewrite !slackE -/D -/Q /obj -/D -/Q subr_le0 subr_ge0 => h1 h2.
apply: le_trans (_ : ell D + inner M D <= _); first by rewrite lerD2l.
apply: le_trans (_ : ell (u' *m v'^T) + inner M (u' *m v'^T) <= _); last by rewrite lerD2l.
by move: tg'; rewrite opprB addrA lerBlDr.
Qed.
End Deficient.

Section RankAtLeastD.
Variables (F : realFieldType) (m n d r : nat).
Variables (G : 'I_d -> 'M[F]_(m, n)) (rho : 'I_d -> F) (lam : F) (Hs : 'M[F]_d).
Variables (u : 'M[F]_(m, r)) (v : 'M[F]_(n, r)).

Let M := \sum_k rho k *: G k.
Let Q := col_mx u v.
Let S := slack (lam / 2%:R)%:M M.

(** the d features of an update, as a row *)
Definition feat (X : 'M[F]_(m, n)) : 'rV[F]_d := \row_k inner (G k) X.
(** derivative of the features of u v^T in the direction (x, y) *)
Definition dfeat (x : 'M[F]_(m, r)) (y : 'M[F]_(n, r)) := feat (x *m v^T + u *m y^T).

Definition hess (x : 'M[F]_(m, r)) (y : 'M[F]_(n, r)) : F :=
  2%:R * form S (col_mx x y) + (dfeat x y *m Hs *m (dfeat x y)^T) 0 0.

Lemma featD X Y : feat (X + Y) = feat X + feat Y.
Proof. by apply/rowP=> k; rewrite !mxE innerDr. Qed.
Lemma featN X : feat (- X) = - feat X.
Proof. by apply/rowP=> k; rewrite !mxE innerNr. Qed.

Lemma ipM X : inner M X = \sum_k rho k * feat X 0 k.
Proof.
rewrite innerC /M /inner mulmx_sumr raddf_sum /=; apply: eq_bigr => k _.
by rewrite -scalemxAr mxtraceZ mxE -/(inner _ _) innerC.
Qed.

Lemma Ssym : S^T = S.
Proof.
rewrite /S /slack; apply/matrixP=> i j.
have sy : (block_mx 0 M M^T 0)^T = block_mx 0 M M^T 0 by rewrite tr_block_mx !trmx0 trmxK.
have /matrixP/(_ i j) := sy; rewrite !mxE => ->; congr (_ *+ _ - _ * _).
by rewrite eq_sym.
Qed.

(** Theorem (no genericity): r >= d, every second-order stationary point is globally optimal *)
Theorem rank_ge_d : (d <= r)%N -> 0 <= lam -> S *m Q = 0 ->
  (forall x y, 0 <= hess x y) -> forall z : 'cV[F]_(m + n), 0 <= form S z.
Proof.
move=> dr lam0 SQ Hpos z; rewrite leNgt; apply/negP=> Sz.
set z1 := usubmx z; set z2 := dsubmx z; have zE : z = col_mx z1 z2 by rewrite vsubmxK.
pose K : 'M[F]_(r, d) := \matrix_(i, k) (v^T *m (G k)^T *m z1 + u^T *m G k *m z2) i 0.
have KE (t : 'rV[F]_r) : dfeat (z1 *m t) (z2 *m t) = t *m K.
  apply/rowP=> k; rewrite [LHS]mxE innerDr.
  have -> : inner (G k) (z1 *m t *m v^T) = (t *m (v^T *m (G k)^T *m z1)) 0 0.
    by rewrite -trace_mx11 /inner -mulmxA mulmxA mxtrace_mulC !mulmxA.
  have -> : inner (G k) (u *m (z2 *m t)^T) = (t *m (u^T *m G k *m z2)) 0 0.
    by rewrite -trace_mx11 innerC /inner !trmx_mul !trmxK -!mulmxA mxtrace_mulC -!mulmxA mxtrace_mulC !mulmxA.
  by rewrite !mxE -big_split; apply: eq_bigr => i _; rewrite /= -mulrDr [K i k]mxE; congr (_ * _); rewrite [in RHS]mxE.
have pos_t (t : 'rV[F]_r) : t != 0 -> 0 < inner t t.
  by move=> t0; rewrite lt_def ip_ge0 andbT; apply: contraNneq t0 => /ip_eq0 ->.
have Szt (t : 'rV[F]_r) : form S (col_mx (z1 *m t) (z2 *m t)) = inner t t * form S z.
  by rewrite -mul_col_mx -zE form_outer.
(** K Hs has a trivial left kernel *)
have inj (t : 'rV[F]_r) : t *m (K *m Hs) = 0 -> t = 0.
  move=> tK; apply/eqP; apply: contraT => t0; have := Hpos (z1 *m t) (z2 *m t).
  rewrite /hess KE -(mulmxA t) tK mul0mx mxE addr0 pmulr_rge0 ?ltr0n // Szt.
  by rewrite (pmulr_rge0 _ (pos_t _ t0)) leNgt Sz.
have free : row_free (K *m Hs) by apply/inj_row_free.
have rd : r = d.
  by apply/eqP; rewrite eqn_leq dr andbT -(eqP free) rank_leq_col.
have full : row_full (K *m Hs) by rewrite /row_full (eqP free) rd.
have Hfull : row_full Hs.
  by rewrite /row_full eqn_leq rank_leq_col -{1}(eqP full) mxrankM_maxr.
have Hu : Hs \in unitmx by rewrite -row_full_unit.
have formSQ (X : 'M[F]_(m + n, r)) : form S (X - Q) = form S X.
  rewrite formD_null ?Ssym //; last by rewrite -mulmxA mulmxN SQ oppr0 mulmx0 mxtrace0.
  by rewrite [form S (- Q)]/form mulmxN -mulmxA SQ mulmx0 oppr0 mxtrace0 addr0.
have fQ0 : feat (u *m v^T) + feat (u *m v^T) = 0.
  have /submxP[t tE] : (dfeat u v *m Hs <= K *m Hs)%MS by apply: submx_full.
  have dE : dfeat (z1 *m t - u) (z2 *m t - v) = t *m K - dfeat u v.
    rewrite -KE /dfeat -featN -featD; congr feat.
    rewrite mulmxBl raddfB /= mulmxBr opprD !addrA; congr (_ - _).
    by rewrite addrAC.
  have := Hpos (z1 *m t - u) (z2 *m t - v); rewrite /hess dE mulmxBl tE mulmxA subrr mul0mx mxE addr0.
  rewrite -[col_mx _ _](_ : col_mx (z1 *m t) (z2 *m t) - Q = _); last by rewrite opp_col_mx add_col_mx.
  rewrite formSQ Szt pmulr_rge0 ?ltr0n //.
  case: (eqVneq t 0) => [t0 _|t0]; last by rewrite (pmulr_rge0 _ (pos_t _ t0)) leNgt Sz.
  move: tE; rewrite t0 mul0mx -featD => /(congr1 (fun A => A *m invmx Hs)).
  by rewrite mulmxK // mul0mx.
have f0 : feat (u *m v^T) = 0.
  by apply/eqP; move/eqP: fQ0; rewrite -mulr2n -scaler_nat scaler_eq0 pnatr_eq0.
have MQ : inner M (u *m v^T) = 0 by rewrite ipM big1 // => k _; rewrite f0 mxE mulr0.
have lamQ : lam / 2%:R * inner Q Q = 0.
  by rewrite -form_scalar -[LHS]subr0 -MQ -slackE /form -mulmxA SQ mulmx0 mxtrace0.
have M0 : M = 0.
  move/eqP: lamQ; rewrite mulf_eq0 => /orP[|/eqP/ip_eq0 Q0].
    rewrite mulf_eq0 invr_eq0 pnatr_eq0 orbF => /eqP l0.
    have [Mv Mu] : M *m v = 0 /\ M^T *m u = 0.
      move: SQ; rewrite /S /slack l0 mul0r raddf0 sub0r mulNmx => /eqP; rewrite oppr_eq0 -scalemxAl scaler_eq0.
      rewrite invr_eq0 pnatr_eq0 /= mul_block_col !mul0mx add0r addr0 -[0]vsubmxK => /eqP/eq_col_mx.
      by rewrite !linear0.
    have /submxP[t tE] : (feat M *m Hs <= K *m Hs)%MS by apply: submx_full.
    have {tE} tE : feat M = dfeat (z1 *m t) (z2 *m t).
      by rewrite KE -[LHS](mulmxK Hu) tE mulmxA mulmxK.
    apply: ip_eq0; rewrite ipM tE -ipM innerDr.
    have -> : inner M (z1 *m t *m v^T) = 0.
      by rewrite innerC /inner trmx_mul trmxK -mulmxA mxtrace_mulC -mulmxA Mv mulmx0 mxtrace0.
    have -> : inner M (u *m (z2 *m t)^T) = 0 by rewrite /inner mulmxA Mu mul0mx mxtrace0.
    by rewrite addr0.
  have K0 : K = 0.
    have [u0 v0] : u = 0 /\ v = 0 by move: Q0; rewrite /Q -[0]vsubmxK => /eq_col_mx; rewrite !linear0.
    by apply/matrixP=> i k; rewrite [LHS]mxE u0 v0 !trmx0 !mul0mx addr0 !mxE.
  have r0 : r = 0%N by move: free; rewrite K0 mul0mx /row_free mxrank0 => /eqP.
  by rewrite /M big1 // => k; have := ltn_ord k; rewrite -[X in (_ < X)%N]rd r0.
move: Sz; rewrite /S /slack M0 trmx0 block_mx0 scaler0 subr0 form_scalar.
by rewrite ltNge mulr_ge0 ?ip_ge0 // divr_ge0 ?ler0n.
Qed.
End RankAtLeastD.

(** r >= d: the stationary point is a global minimum of the regularised loss, among factors of every rank *)
Section RankAtLeastD.
Variables (F : realFieldType) (m n d r : nat) (G : 'I_d -> 'M[F]_(m, n)) (rho : 'I_d -> F) (lam : F) (Hs : 'M[F]_d).
Variables (u : 'M[F]_(m, r)) (v : 'M[F]_(n, r)) (ell : 'M[F]_(m, n) -> F).
Let M := \sum_k rho k *: G k.
Let S0 : 'M[F]_(m + n) := (lam / 2%:R)%:M.
Corollary rank_ge_d_global : (d <= r)%N -> 0 <= lam -> tangent ell (u *m v^T) M ->
  slack S0 M *m col_mx u v = 0 -> (forall x y, 0 <= hess G rho lam Hs u v x y) ->
  forall r' (u' : 'M[F]_(m, r')) (v' : 'M[F]_(n, r')), obj ell S0 u v <= obj ell S0 u' v'.
Proof.
move=> dr lam0 tg SQ Hp r' u' v'; have S_ge0 := rank_ge_d dr lam0 SQ Hp.
have SQ' : 0 <= form (slack S0 M) (col_mx u' v') by apply: form_ge0_cols.
have SQ0 : form (slack S0 M) (col_mx u v) = 0 by rewrite /form -mulmxA SQ mulmx0 mxtrace0.
have := tg (u' *m v'^T - u *m v^T); rewrite [u *m v^T + _]addrC subrK innerBr => tg'.
move/eqP: SQ0 SQ'; rewrite !slackE subr_eq0 subr_ge0 => /eqP e h2; rewrite /obj e.
apply: le_trans (_ : ell (u' *m v'^T) + inner M (u' *m v'^T) <= _); last by rewrite lerD2l.
by move: tg'; rewrite opprB addrA lerBlDr.
Qed.
End RankAtLeastD.
