(** * The spectral theorem for symmetric matrices, over every real closed field

    - [spectral]: a symmetric matrix is W diag(e) W^T with orthonormal columns in W.
      differs: the textbook's theorem, for the reals, the real algebraic numbers and
      every other real closed field; proved by induction on the size from the
      intermediate value theorem for polynomials alone, without complex numbers and
      without compactness.

    The step: the corner of size k is diagonal by induction, which leaves an
    arrowhead matrix; it has an eigenvector, found at a root of the secular
    equation ([secular], [arrow_eigen]); a Householder reflection ([householder])
    moves that eigenvector to the first axis, and what remains is again smaller. *)
From mathcomp Require Import all_ssreflect all_algebra.
From LoraProofs Require Import compat vectors.
Set Implicit Arguments. Unset Strict Implicit. Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Spectral.
Variable F : rcfType.

(** a vector divided by its length *)
Lemma sqnorm_unit k (x : 'cV[F]_k) : x != 0 -> sqnorm ((Num.sqrt (sqnorm x))^-1 *: x) = 1.
Proof. by move=> x0; rewrite sqnormZ exprVn sqr_sqrtr ?sqnorm_ge0 // mulVf // sqnorm_eq0. Qed.

(** a root of the secular polynomial to the right of all poles *)
Lemma secular k (e s : 'rV[F]_k) (sg : F) (j : 'I_k) : (forall i, e 0 i <= e 0 j) ->
  (forall i, s 0 i != 0) -> (forall i l, i != l -> e 0 i != e 0 l) ->
  exists2 l : F, (forall i, l != e 0 i) & l = sg + \sum_i s 0 i ^+ 2 / (l - e 0 i).
Proof.
move=> mx s0 dist.
pose p : {poly F} := ('X - sg%:P) * \prod_i ('X - (e 0 i)%:P)
   - \sum_i (s 0 i ^+ 2)%:P * \prod_(i' | i' != i) ('X - (e 0 i')%:P).
have pE x : p.[x] = (x - sg) * \prod_i (x - e 0 i) - \sum_i s 0 i ^+ 2 * \prod_(i' | i' != i) (x - e 0 i').
  rewrite /p !hornerE horner_prod horner_sum; congr (_ * _ - _).
    by apply: eq_bigr => i _; rewrite !hornerE.
  by apply: eq_bigr => i _; rewrite !hornerE horner_prod; congr (_ * _); apply: eq_bigr => i' _; rewrite !hornerE.
have fac x : (forall i, x != e 0 i) -> p.[x] = (\prod_i (x - e 0 i)) * (x - sg - \sum_i s 0 i ^+ 2 / (x - e 0 i)).
  move=> xe; rewrite pE mulrBr mulrC; congr (_ - _); rewrite mulr_sumr; apply: eq_bigr => i _.
  rewrite [in RHS](bigD1 i) //= [(x - e 0 i) * _]mulrC -[RHS]mulrA.
  by rewrite [(x - e 0 i) * _]mulrC divfK ?subr_eq0 // [RHS]mulrC.
have pj : p.[e 0 j] < 0.
  rewrite pE (bigD1 j) //= subrr mul0r mulr0 sub0r oppr_lt0 (bigD1 j) //= [X in _ + X]big1 ?addr0 => [|i ij].
    apply: mulr_gt0; first by rewrite lt_def sqr_ge0 sqrf_eq0 s0.
    apply: prodr_gt0 => i ij; rewrite subr_gt0 lt_def mx andbT.
    by apply: contra_neq (dist j i _); rewrite // eq_sym.
  by rewrite (bigD1 j) 1?eq_sym //= subrr mul0r mulr0.
pose b := Num.max (e 0 j + 1) (sg + \sum_i s 0 i ^+ 2).
have bj i : 1 <= b - e 0 i.
  by rewrite lerBrDl; apply: le_trans (_ : e 0 j + 1 <= _); rewrite ?lerD2r // le_max lexx.
have pb : 0 <= p.[b].
  rewrite fac => [|i]; last by rewrite -subr_eq0 gt_eqF // (lt_le_trans ltr01 (bj i)).
  apply: mulr_ge0; first by apply: prodr_ge0 => i _; apply: le_trans ler01 (bj i).
  rewrite subr_ge0; apply: le_trans (_ : \sum_i s 0 i ^+ 2 <= _).
    apply: ler_sum => i _; rewrite ler_pdivrMr ?(lt_le_trans ltr01 (bj i)) //.
    by rewrite ler_peMr ?sqr_ge0.
  by rewrite lerBrDl le_max lexx orbT.
have ejb : e 0 j <= b by rewrite le_max lerDl ler01.
have [|l /andP[jl lb] /rootP pl] := @poly_ivt F p _ _ ejb; first by rewrite (ltW pj) pb.
have lj : e 0 j < l.
  by rewrite lt_def jl andbT; apply: contraTneq pj => <-; rewrite pl ltxx.
have le i : l != e 0 i by rewrite gt_eqF // (le_lt_trans (mx i) lj).
exists l => //; move/eqP: pl; rewrite fac // mulf_eq0 => /orP[|].
  by rewrite prodf_seq_eq0 => /hasP[i _ /=]; rewrite subr_eq0 (negPf (le i)).
by rewrite subr_eq0 subr_eq addrC => /eqP.
Qed.

Lemma arrow_eigen k (sg : F) (s e : 'rV[F]_k) (S := block_mx sg%:M s s^T (diag_mx e) : 'M[F]_(1 + k)) :
  exists (x : 'cV[F]_(1 + k)) (l : F), x != 0 /\ S *m x = l *: x.
Proof.
have Sx (a : F) (y : 'cV[F]_k) : S *m col_mx a%:M y = col_mx (sg * a + (s *m y) 0 0)%:M (a *: s^T + diag_mx e *m y).
  rewrite /S mul_block_col !mul_mx_scalar scale_scalar_mx; congr (col_mx _ _).
  by rewrite raddfD /= -mx11_scalar mulrC.
have nz (a : F) (y : 'cV[F]_k) : (a != 0) || (y != 0) -> col_mx a%:M y != 0.
  apply: contraTneq => h; rewrite negb_or !negbK -[0]vsubmxK in h *.
  have [ha hy] := eq_col_mx h; move: ha hy; rewrite !linear0 => ha ->; rewrite eqxx andbT.
  by move/matrixP/(_ 0 0): ha; rewrite !mxE mulr1n => ->.
have [/existsP[i /eqP si]|] := boolP [exists i, s 0 i == 0].
  exists (col_mx 0%:M (delta_mx i 0)), (e 0 i); split.
    apply: nz; apply/orP; right; apply/eqP=> /colP/(_ i); rewrite !mxE !eqxx => /eqP; by rewrite oner_eq0.
  rewrite Sx mulr0 add0r scale0r add0r -colE mxE si scale_col_mx scale_scalar_mx mulr0; congr (col_mx _ _).
  by apply/colP=> l; rewrite mul_diag_mx !mxE; case: (eqVneq l i) => [->|]; rewrite ?mulr0.
rewrite negb_exists => /forallP s0.
have [/existsP[i /existsP[l /andP[il /eqP eil]]]|] := boolP [exists i, [exists l, (i != l) && (e 0 i == e 0 l)]].
  exists (col_mx 0%:M (s 0 l *: delta_mx i 0 - s 0 i *: delta_mx l 0)), (e 0 i); split.
    apply: nz; apply/orP; right; apply/eqP=> /colP/(_ i); rewrite !mxE !eqxx (negPf il) mulr0 subr0 mulr1 => /eqP.
    by rewrite (negPf (s0 l)).
  rewrite Sx mulr0 add0r scale0r add0r mulmxBr -!scalemxAr -!colE !mxE [s 0 l * _]mulrC subrr.
  rewrite scale_col_mx scale_scalar_mx mulr0; congr (col_mx _ _).
  apply/colP=> a; rewrite mulmxBr -!scalemxAr -!colE !mxE mulrBr; congr (_ - _).
    by rewrite mulrCA; case: (eqVneq a i) => [->|]; rewrite ?mulr1n ?mulr0n ?mulr0 ?mulr1 // mulrC.
  by rewrite mulrCA; case: (eqVneq a l) => [->|]; rewrite ?mulr1n ?mulr0n ?mulr0 ?mulr1 // -eil mulrC.
move=> /existsPn dist.
case: k s e S Sx nz s0 dist => [|k] s e S Sx nz s0 dist.
  exists (col_mx 1%:M 0), sg; split; first by apply: nz; rewrite oner_eq0.
  rewrite Sx mulr1 mulmx0 mxE addr0 scale_col_mx scale_scalar_mx mulr1.
  by congr (col_mx _ _); rewrite [LHS]flatmx0 [RHS]flatmx0.
have [j _ mx'] := @arg_maxP _ _ _ (0 : 'I_k.+1) xpredT (fun i => e 0 i) isT.
have [||l le lE] := @secular _ e s sg j (fun i => mx' i isT); first by move=> i; apply: s0.
  by move=> i l il; have /existsPn/(_ l) := dist i; rewrite il.
pose y : 'cV[F]_k.+1 := \col_i (s 0 i / (l - e 0 i)).
exists (col_mx 1%:M y), l; split; first by apply: nz; rewrite oner_eq0.
rewrite Sx mulr1 scale_col_mx scale_scalar_mx mulr1 scale1r; congr (col_mx _%:M _).
  by rewrite [RHS]lE mxE; congr (_ + _); apply: eq_bigr => i _; rewrite mxE mulrA expr2.
apply/colP=> i; rewrite mul_diag_mx !mxE; have lei : l - e 0 i != 0 by rewrite subr_eq0.
apply: (mulIf lei); rewrite mulrDl -!mulrA mulVf // !mulr1 mulrBr [s 0 i * l]mulrC [s 0 i * e 0 i]mulrC.
by rewrite subrK.
Qed.

(** an orthogonal and symmetric matrix with a given first column *)
Lemma householder k (x : 'cV[F]_(1 + k)) : sqnorm x = 1 -> exists H : 'M[F]_(1 + k),
  [/\ H^T = H, H *m H = 1%:M & H *m delta_mx 0 0 = x].
Proof.
move=> x1; case: (eqVneq x (delta_mx 0 0)) => [->|xe]; first by exists 1%:M; rewrite trmx1 !mul1mx.
pose e0 : 'cV[F]_(1 + k) := delta_mx 0 0; pose w := x - e0.
have w0 : sqnorm w != 0 by rewrite gt_eqF // sqnorm_gt0 subr_eq0.
have ee : e0^T *m e0 = 1%:M by rewrite /e0 trmx_delta mul_delta_mx; apply/matrixP=> i j; rewrite !ord1 !mxE.
have xx : x^T *m x = 1%:M by rewrite sqnorm_11 x1.
have xe' : x^T *m e0 = e0^T *m x by rewrite -[LHS]tr_1x1 trmx_mul trmxK.
have ww : w^T *m w = - ((w^T *m e0) *+ 2).
  by rewrite /w tr_sub !mulmxBl !mulmxBr xx ee xe' mulr2n [RHS]opprD !opprB.
have wwS : w^T *m w = (sqnorm w)%:M := sqnorm_11 w.
have two0 : 2%:R != 0 :> F by rewrite pnatr_eq0.
have we : w^T *m e0 = - (sqnorm w / 2%:R)%:M.
  have h : (w^T *m e0) *+ 2 = - (sqnorm w)%:M by rewrite -wwS ww opprK.
  by apply: (scalerI two0); rewrite scaler_nat h scalerN scale_scalar_mx mulrC divfK.
pose P := w *m w^T; have PP : P *m P = sqnorm w *: P.
  by rewrite /P mulmxA -(mulmxA w) wwS mul_mx_scalar -scalemxAl.
have Pt : P^T = P by rewrite /P trmx_mul trmxK.
pose tau := 2%:R / sqnorm w; have tauE : tau * (tau * sqnorm w) = tau + tau.
  by rewrite /tau divfK // mulr_natr mulr2n.
have Pe : P *m e0 = - (sqnorm w / 2%:R) *: w by rewrite /P -mulmxA we mulmxN mul_mx_scalar scaleNr.
clearbody P; exists (1%:M - tau *: P); split.
- by rewrite tr_sub trmx1 tr_scale Pt.
- rewrite mulmxBr mulmx1 mulmxBl mul1mx -scalemxAl -scalemxAr PP !scalerA -mulrA tauE scalerDl.
  by rewrite (opprD (tau *: P) (tau *: P)) (addrA (tau *: P)) subrr sub0r opprK subrK.
rewrite mulmxBl mul1mx -scalemxAl -/e0 Pe scalerA mulrN scaleNr opprK /tau mulrA divfK // divff // scale1r.
by rewrite /w addrC subrK.
Qed.

Lemma e0E k : (delta_mx 0 0 : 'cV[F]_(1 + k)) = col_mx 1%:M 0.
Proof.
apply/colP=> i; rewrite !mxE; case: splitP => j ij; rewrite !mxE -val_eqE /= ij ?ord1 //=.
Qed.

Lemma e0_col k (B : 'M[F]_(1 + k)) : B *m delta_mx 0 0 = lsubmx B.
Proof. by rewrite e0E -{1}(hsubmxK B) mul_row_col mulmx1 mulmx0 addr0. Qed.

Lemma orth_block k (W : 'M[F]_k) : W^T *m W = 1%:M ->
  (block_mx 1%:M 0 0 W)^T *m (block_mx 1%:M 0 0 W) = 1%:M :> 'M[F]_(1 + k).
Proof.
move=> WW; rewrite tr_block_mx !trmx0 trmx1 mulmx_block !mul0mx !mulmx0 !addr0 add0r mul1mx WW.
by rewrite -scalar_mx_block.
Qed.

Theorem spectral k (S : 'M[F]_k) : S^T = S ->
  exists (W : 'M[F]_k) (e : 'rV[F]_k), W^T *m W = 1%:M /\ S = W *m diag_mx e *m W^T.
Proof.
elim: k S => [|k IH] S Ss; first by exists 1%:M, 0; split; rewrite ?trmx1 ?mulmx1 // [LHS]flatmx0 [RHS]flatmx0.
move: S Ss; rewrite -[k.+1]/(1 + k)%N => S Ss.
have [x [l [x0 Sx]]] : exists (x : 'cV[F]_(1 + k)) (l : F), x != 0 /\ S *m x = l *: x.
  have [|W [e [WW SE]]] := IH (drsubmx S); first by rewrite trmx_drsub Ss.
  have WW' : W *m W^T = 1%:M by apply: mulmx1C.
  have [y [l [y0 Ay]]] := arrow_eigen (S 0 0) (ursubmx S *m W) e.
  pose V : 'M[F]_(1 + k) := block_mx 1%:M 0 0 W.
  have VV : V^T *m V = 1%:M by apply: orth_block.
  exists (V *m y), l; split.
    by apply: contraNneq y0 => Vy; rewrite -[y]mul1mx -VV -mulmxA Vy mulmx0.
  rewrite scalemxAr -Ay !mulmxA; congr (_ *m y).
  rewrite -{1}(submxK S) /V !mulmx_block !(mulmx0, mul0mx, mulmx1, mul1mx, addr0, add0r).
  rewrite trmx_mul mulmxA WW' mul1mx trmx_ursub Ss {1}SE -(mulmxA _ W^T) WW mulmx1.
  by congr (block_mx _ _ _ _); rewrite [LHS]mx11_scalar !mxE; congr (S _ _)%:M; apply: val_inj.
have q0 : 0 < Num.sqrt (sqnorm x) by rewrite sqrtr_gt0 sqnorm_gt0.
pose x1 := (Num.sqrt (sqnorm x))^-1 *: x.
have x11 : sqnorm x1 = 1 by apply: sqnorm_unit.
have Sx1 : S *m x1 = l *: x1 by rewrite /x1 -scalemxAr Sx !scalerA mulrC.
have [H [Ht HH He]] := householder x11.
pose B := H *m S *m H; have Bs : B^T = B by rewrite /B !trmx_mul Ht Ss mulmxA.
have Bl : lsubmx B = col_mx l%:M 0.
  rewrite -e0_col /B -!mulmxA He Sx1 -scalemxAr -He mulmxA HH mul1mx e0E scale_col_mx scaler0.
  by rewrite scale_scalar_mx mulr1.
have Bd : dlsubmx B = 0.
  by rewrite -(col_mxKd (l%:M : 'M[F]_1) 0) -Bl; apply/matrixP=> i j; rewrite !mxE.
have Bul : ulsubmx B = l%:M.
  by rewrite -(col_mxKu (l%:M : 'M[F]_1) (0 : 'M[F]_(k, 1))) -Bl; apply/matrixP=> i j; rewrite !mxE.
have BE : B = block_mx l%:M 0 0 (drsubmx B).
  rewrite -{1}(submxK B) Bd Bul; congr (block_mx _ _ _ _).
  by rewrite -[LHS]trmxK trmx_ursub Bs Bd trmx0.
have [|W [e [WW DE]]] := IH (drsubmx B); first by rewrite trmx_drsub Bs.
exists (H *m block_mx 1%:M 0 0 W), (row_mx l%:M e); split.
  by rewrite trmx_mul mulmxA -(mulmxA _ H^T) Ht HH mulmx1 orth_block.
have -> : S = H *m B *m H by rewrite /B !mulmxA HH mul1mx -mulmxA HH mulmx1.
clearbody B.
rewrite trmx_mul Ht !mulmxA; congr (_ *m H); rewrite -!mulmxA; congr (H *m _).
rewrite BE diag_mx_row (_ : diag_mx l%:M = l%:M); last by apply/matrixP=> i j; rewrite !ord1 !mxE.
rewrite tr_block_mx !trmx0 trmx1 !mulmx_block !(mulmx0, mul0mx, mulmx1, mul1mx, addr0, add0r).
by rewrite {1}DE mulmxA.
Qed.
End Spectral.
