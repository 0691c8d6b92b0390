(* What the traps B_r and C_r say of the thresholds, for every r >= 1.

   - sharp_is_sharp: with d = r(r+3)/2 functionals that are injective on the face there is a second-order stationary
     point that is not global, lam = 1: the condition d < r(r+3)/2 of sharp_global cannot be weakened by one.
   - one_more_datum: with d = r + 1 there is one as well, P = 0: "r >= d suffices" (sosp_rank_ge_d_global) cannot be
     weakened by one, and Theorem 4.1 (r(r+1)/2 > KN, true from r = 3 on) needs its P or its "almost every".
   Differs from claims theorem-4.1-sharp-is-sharp and theorem-4.1-needs-its-perturbation: these give the inertia of the
   Hessian for given r; here every r, and second order is derived from the minimum in a ball. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp Require Import ring.
From LoraProofs Require Import compat vectors landscape existence nuclear_problem squared_loss sharp traps.
Set Implicit Arguments. Unset Strict Implicit. Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.
Section Sharpness.
Variables (F : realFieldType) (k : nat).
Notation r := k.+1.
Notation upper := {p : 'I_r * 'I_r | (p.1 <= p.2)%N}.
Notation half1 := ((1 / 2%:R)%:M : 'M[F]_((r + 1) + (r + 1))).
Notation face := (face F k).

(* a minimum in a ball is one along lines, and so of second order *)
Lemma ball_sosp d (G : 'I_d -> 'M[F]_(r + 1)) y (u0 v0 : 'M[F]_(r + 1, r)) rho : 0 < rho ->
  (forall u v, inner (u - u0) (u - u0) + inner (v - v0) (v - v0) <= rho -> lora G y 1 1 u0 v0 <= lora G y 1 1 u v) ->
  sosp G y 1 half1 u0 v0.
Proof.
move=> rho0 h; apply: local_min_sosp; first exact: tr_scalar_mx.
move=> x z; pose N := inner x x + inner z z + 1; have N0 : 0 < N by rewrite ltr_pwDr ?ltr01 // addr_ge0 ?ip_ge0.
exists (Num.min 1 (rho / N)); first by rewrite lt_min ltr01 divr_gt0.
move=> t t0; rewrite lt_min => /andP[tl1 trho].
rewrite -/(objective G y 1 half1 u0 v0) -/(objective G y 1 half1 _ _) !loraE; apply: h.
rewrite ![_ + t *: _]addrC !addrK !innerZl !innerZr -!mulrDr mulrA; apply: le_trans (_ : t * N <= _); last first.
  by rewrite -ler_pdivlMr // ltW.
rewrite -mulrA ler_pM2l //; apply: le_trans (_ : inner x x + inner z z <= _); last by rewrite lerDl ler01.
by rewrite ler_piMl ?addr_ge0 ?ip_ge0 // ltW.
Qed.

Lemma injective_B : injective_on_face (fun q : 'I_#|{: upper + 'I_r}| => G_B F (enum_val q)) face face.
Proof.
move=> T Ts /rowP fT; suff up (i j : 'I_r) : (i <= j)%N -> T i j = 0.
  apply/matrixP=> i j; rewrite [RHS]mxE; case: (leqP i j) => [/up//|/ltnW/up]; by rewrite -{1}Ts mxE.
move=> ij; pose p : upper := exist _ (i, j) ij.
have := fT (enum_rank (inl p : upper + 'I_r)); rewrite !mxE enum_rankK /face mul_col_mx mul1mx mul0mx tr_col_mx trmx1 trmx0.
rewrite mul_col_row !mulmx1 !mulmx0 inner_block !inner0l inner0r !addr0 innerZl innerDl !inner_delta /= -[in X in _ + X]Ts mxE.
by move/eqP; rewrite -mulr2n -(mulr_natl (T i j)) mulKf ?pnatr_eq0 // => /eqP.
Qed.

(* at d = r(r+3)/2 the conclusion of sharp_global fails: the bound is sharp, for every r *)
Theorem sharp_is_sharp : exists (G : 'I_('C(r.+1, 2) + r) -> 'M[F]_(r + 1)) y (u v : 'M[F]_(r + 1, r)),
  [/\ injective_on_face G u v, sosp G y 1 half1 u v & exists u' v' : 'M[F]_(r + 1, r), lora G y 1 1 u' v' < lora G y 1 1 u v].
Proof.
rewrite -(number_B k); exists (fun q => G_B F (enum_val q)), (fun q => y_B F (enum_val q)), face, face; split.
- exact: injective_B.
- by apply: (@ball_sosp _ _ _ _ _ 16%:R^-1); rewrite ?invr_gt0 ?ltr0n // => u v; apply: trap_b_local.
exists (moved F k), (moved F k); rewrite -/(lora_in _ _ _ _ _ _) -/(lora_in _ _ _ _ _ _) -/(L_B _ _) -/(L_B _ _).
by rewrite trap_b_not_global gtrDl oppr_lt0 divr_gt0 ?ltr0n.
Qed.

(* r + 1 >= d is not enough, for any r, where r >= d is (sosp_rank_ge_d_global) *)
Theorem one_more_datum : exists (G : 'I_r.+1 -> 'M[F]_(r + 1)) y (u v : 'M[F]_(r + 1, r)),
  sosp G y 1 half1 u v /\ exists u' v' : 'M[F]_(r + 1, r), lora G y 1 1 u' v' < lora G y 1 1 u v.
Proof.
rewrite -(number_C k); exists (fun q => G_C F (enum_val q)), (fun q => y_C F (enum_val q)), face, face; split.
  by apply: (@ball_sosp _ _ _ _ _ 16%:R^-1); rewrite ?invr_gt0 ?ltr0n // => u v; apply: trap_c_local.
exists (moved F k), (moved F k); rewrite -/(lora_in _ _ _ _ _ _) -/(lora_in _ _ _ _ _ _) -/(L_C _ _) -/(L_C _ _).
by rewrite trap_c_not_global gtrDl oppr_lt0 divr_gt0 ?ltr0n.
Qed.
End Sharpness.
