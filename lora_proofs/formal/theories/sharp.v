(* The sharp threshold: d < r(r+3)/2 data suffice, where the paper asks for d < r(r+1)/2.

   - sharp_psd: S Q = 0, Hessian >= 0, and the d functionals see every symmetric matrix of the face {u T v^T}: if
     d < r(r+3)/2, then S >= 0. Any loss (the Hessian of the loss enters as any matrix Hs), any lam, any P.
   - sharp_global: so for the squared loss every such second-order stationary point is a global minimum, among factors
     of every width, also of the perturbed objective (S0 = lam/2 + P).
   - traps.v has the instances B_r with d = r(r+3)/2 that are not global: the bound cannot be raised.
   Differs from the print: Theorem 4.1 has r(r+1)/2 > KN for almost every P. Here the genericity is the explicit
   condition "injective on the face" (which holds for almost every G: that is outside), and the threshold is lower.
   Steps 4 and 5 of claims theorem-4.1-sharp-step-* are the body of sharp_psd: directions [u; v] T + z t, T symmetric. *)
From mathcomp Require Import all_ssreflect all_algebra.
From LoraProofs Require Import compat vectors landscape existence squared_loss.
Set Implicit Arguments. Unset Strict Implicit. Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Sharp.
Variables (F : realFieldType) (m n d r : nat) (G : 'I_d -> 'M[F]_(m, n)).
Variables (u : 'M[F]_(m, r)) (v : 'M[F]_(n, r)).

Definition injective_on_face := forall T : 'M[F]_r, T^T = T -> feat G (u *m T *m v^T) = 0 -> T = 0.

(* a symmetric matrix [T t'; t s] with one more row: T is the move along the face, t the move out of it, and s = 0 *)
Theorem sharp_psd (S : 'M[F]_(m + n)) (Hs : 'M[F]_d) : S^T = S -> S *m col_mx u v = 0 ->
  (forall x y, 0 <= 2%:R * form S (col_mx x y) + (dfeat G u v x y *m Hs *m (dfeat G u v x y)^T) 0 0) ->
  injective_on_face -> (d < 'C(r.+1, 2) + r)%N -> forall z : 'cV[F]_(m + n), 0 <= form S z.
Proof.
move=> Ss SQ pos inj dr z; rewrite leNgt; apply/negP=> Sz.
set z1 := usubmx z; set z2 := dsubmx z; have zE : z = col_mx z1 z2 by rewrite vsubmxK.
pose U := row_mx u z1; pose V := row_mx v z2.
pose f (l : 'I_(d + 1)) : 'M[F]_(r + 1) :=
  match split l with inl k => V^T *m (G k)^T *m U | inr _ => block_mx 0 0 0 1%:M end.
have [|B [Bs B0 Bf]] := @symmetric_null F (r + 1) (d + 1) f.
  by rewrite !addn1 binS bin1 addnS ltnS.
pose T := ulsubmx B; pose t := dlsubmx B.
have [Ts tE] : T^T = T /\ ursubmx B = t^T.
  by rewrite /T /t trmx_ulsub trmx_dlsub Bs.
have s0 : drsubmx B = 0.
  have := Bf (rshift d 0); rewrite /f (unsplitK (inr _ 0)).
  rewrite -{1}(submxK B) mulmx_block !mul0mx !mul1mx !add0r mxtrace_block mxtrace0 add0r trace_mx11 => e.
  by apply/matrixP=> i j; rewrite !ord1 e mxE.
have BE : B = block_mx T t^T t 0 by rewrite -tE -s0 submxK.
(* the direction sees no datum *)
pose x := u *m (2%:R^-1 *: T) + z1 *m t; pose y := v *m (2%:R^-1 *: T) + z2 *m t.
have half : 2%:R^-1 *: T + 2%:R^-1 *: T = T.
  by rewrite -scalerDl -mulr2n -mulr_natr mulVf ?scale1r // pnatr_eq0.
have xyE : x *m v^T + u *m y^T = U *m B *m V^T.
  rewrite BE /U /V tr_row_mx mul_row_block mulmx0 addr0 mul_row_col.
  have -> : y^T = 2%:R^-1 *: T *m v^T + t^T *m z2^T.
    rewrite -[in RHS]Ts /y; apply/matrixP=> i j; rewrite !mxE; congr (_ + _); apply: eq_bigr => k _; rewrite !mxE mulrC //.
  by rewrite /x !mulmxDl mulmxDr !mulmxA addrACA -mulmxDl -mulmxDr half -!addrA; congr (_ + _).
have dE : dfeat G u v x y = 0.
  apply/rowP=> k; rewrite [LHS]mxE [RHS]mxE xyE.
  have := Bf (lshift 1 k); rewrite /f (unsplitK (inl _ k)).
  by move=> e; rewrite /inner !mulmxA mxtrace_mulC !mulmxA.
(* and the form is |t|^2 times that of z *)
have fE : form S (col_mx x y) = inner t t * form S z.
  have -> : col_mx x y = col_mx u v *m (2%:R^-1 *: T) + z *m t by rewrite zE !mul_col_mx add_col_mx.
  have SQT (C : 'M[F]_r) : (col_mx u v *m C)^T *m S = 0.
    by rewrite trmx_mul -mulmxA -{1}Ss -trmx_mul SQ trmx0 mulmx0.
  by rewrite formD_null // ?SQT ?mul0mx ?mxtrace0 // form_outer /form SQT mul0mx mxtrace0 add0r.
have t0 : t = 0.
  apply/eqP; apply: contraT => t0; have := pos x y; rewrite dE !mul0mx mxE addr0 fE pmulr_rge0 ?ltr0n //.
  have tt : 0 < inner t t by rewrite lt_def ip_ge0 andbT; apply: contraNneq t0 => /ip_eq0 ->.
  by rewrite pmulr_rge0 // leNgt Sz.
have T0 : T = 0.
  apply: inj => //; move: dE; rewrite /dfeat xyE BE t0 trmx0 /U /V tr_row_mx mul_row_block !mulmx0 !addr0 mul_row_col.
  by rewrite mul0mx addr0.
by move/eqP: B0; apply; rewrite BE T0 t0 trmx0; apply/matrixP=> i j; rewrite !mxE; case: split => k; rewrite !mxE; case: split => l; rewrite !mxE.
Qed.
End Sharp.

Section SharpGlobal.
Variables (F : realFieldType) (m n d r : nat) (G : 'I_d -> 'M[F]_(m, n)) (y : 'I_d -> F) (c : F) (S0 : 'M[F]_(m + n)).
Hypotheses (c_ge0 : 0 <= c) (S0s : S0^T = S0).
Variables (u : 'M[F]_(m, r)) (v : 'M[F]_(n, r)).

Theorem sharp_global : (d < 'C(r.+1, 2) + r)%N -> injective_on_face G u v -> sosp G y c S0 u v ->
  forall r' (u' : 'M[F]_(m, r')) (v' : 'M[F]_(n, r')), objective G y c S0 u v <= objective G y c S0 u' v'.
Proof.
move=> dr inj [/(proj1 (stationary_iff G y c S0s u v)) SQ pos]; apply: psd_global => //.
apply: (@sharp_psd F m n d r G u v _ c%:M) => // [|x z]; first exact: slack_sym.
have := pos x z; rewrite curvatureE; congr (0 <= _ + _).
rewrite mul_mx_scalar -scalemxAl mxE; congr (_ * _); rewrite mxE; apply: eq_bigr => k _.
by rewrite !mxE expr2.
Qed.
End SharpGlobal.
