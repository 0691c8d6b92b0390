(* Kim, Kim & Ryu: for every beta/alpha > 3 there is a strict minimum of LoRA's objective, of the rank of the global one,
   of smaller norm, and not global; the special regime cannot be widened beyond beta/alpha = 3.

   f(D) = 1/2 <D - X', B (D - X')> - lam tr D on 2 x 2, X' = 2 E_22, B = [2 1; 1 2] on (D_11, D_22), beta on D_12, D_21;
   L(u, v) = f(u v^T) + lam/2 (|u|^2 + |v|^2), r = rank X' = 1.
   - curvature_bounds: for beta >= 3 the form of B lies between |D|_F^2 and beta |D|_F^2: alpha = 1.
   - global_value: L >= 0, attained at u v^T = X', of norm 2.
   - kim_trap_local, kim_trap_strict: wherever u_1 v_1 >= 3/beta (for beta > 3 a neighbourhood of u = v = e_1), L >= 3,
     its value at X = E_11, of norm 1; for lam > 0 with equality only at u = v = e_1 and u = v = - e_1.
   - kim_not_global: and L is lower elsewhere.
   Proves proposition-threshold-3 (r = 1). Differs: the plant has s = 1/4, t = 1/2 for r = 1, 2, here X = E_11 and
   X' = 2 E_22; strictness is an inequality on an explicit neighbourhood, for every beta > 3. Theorem 1 itself is outside. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp Require Import ring.
From LoraProofs Require Import compat vectors.
Set Implicit Arguments. Unset Strict Implicit. Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Kim.
Variables (F : rcfType) (beta lam : F).
Hypotheses (beta3 : 3%:R <= beta) (lam_ge0 : 0 <= lam).
Implicit Types (D : 'M[F]_2) (u v : 'cV[F]_2).

Definition curve D : F := 2%:R * D 0 0 ^+ 2 + 2%:R * (D 0 0 * D 1 1) + 2%:R * D 1 1 ^+ 2 + beta * (D 0 1 ^+ 2 + D 1 0 ^+ 2).
Definition target : 'M[F]_2 := 2%:R *: delta_mx 1 1.
Definition kim u v : F := curve (u *m v^T - target) / 2%:R - lam * \tr (u *m v^T) + lam / 2%:R * (sqnorm u + sqnorm v).
Definition e1 : 'cV[F]_2 := delta_mx 0 0.

Lemma sqnorm2 D : sqnorm D = D 0 0 ^+ 2 + D 1 0 ^+ 2 + (D 0 1 ^+ 2 + D 1 1 ^+ 2).
Proof.
rewrite sqnorm_sum !big_ord_recl !big_ord0 !addr0.
by have -> : lift ord0 ord0 = 1 :> 'I_2 by apply: val_inj.
Qed.

Theorem curvature_bounds D : sqnorm D <= curve D /\ curve D <= beta * sqnorm D.
Proof.
have b1 : 0 <= beta - 1 by rewrite subr_ge0 (le_trans _ beta3) // (ler_nat _ 1 3).
have b3 : 0 <= beta - 3%:R by rewrite subr_ge0.
rewrite sqnorm2 /curve; move: (D 0 0) (D 0 1) (D 1 0) (D 1 1) => x y z w; split; rewrite -subr_ge0.
  rewrite (_ : _ - _ = (x + w) ^+ 2 + (beta - 1) * (y ^+ 2 + z ^+ 2)); last by ring.
  by rewrite addr_ge0 ?sqr_ge0 // mulr_ge0 // addr_ge0 ?sqr_ge0.
rewrite (_ : _ - _ = (x - w) ^+ 2 + (beta - 3%:R) * (x ^+ 2 + w ^+ 2)); last by ring.
by rewrite addr_ge0 ?sqr_ge0 // mulr_ge0 // addr_ge0 ?sqr_ge0.
Qed.

Lemma kimE u v : kim u v = curve (u *m v^T - target) / 2%:R + lam / 2%:R * sqnorm (u - v).
Proof.
have -> : sqnorm (u - v) = sqnorm u + sqnorm v - 2%:R * \tr (u *m v^T).
  have -> : \tr (u *m v^T) = inner u v by rewrite /inner -mxtrace_tr trmx_mul trmxK mxtrace_mulC.
  by rewrite sqnormB; move: (sqnorm u) (sqnorm v) (inner u v) => a b c; ring.
by rewrite /kim; move: (curve _) (sqnorm u) (sqnorm v) (\tr _) => a b c d; by field.
Qed.

Lemma curve_factors u v : curve (u *m v^T - target) / 2%:R = 3%:R +
  ((u 0 0 * v 0 0 - 1 + u 1 0 * v 1 0 / 2%:R) ^+ 2 + 3%:R / 4%:R * (u 1 0 * v 1 0) ^+ 2 - 3%:R * (u 1 0 * v 1 0)
   + beta / 2%:R * ((u 0 0 * v 1 0) ^+ 2 + (u 1 0 * v 0 0) ^+ 2)).
Proof.
have ent i j : (u *m v^T) i j = u i 0 * v j 0 by rewrite mxE big_ord1 [v^T _ _]mxE.
have sub i j : (u *m v^T - target) i j = u i 0 * v j 0 - 2%:R * ((i == 1) && (j == 1))%:R by rewrite mxE ent !mxE.
rewrite /curve !sub /= ?mulr0n ?mulr1n; move: (u 0 0) (u 1 0) (v 0 0) (v 1 0) => a b c d; by field.
Qed.

Theorem global_value : (forall u v, 0 <= kim u v) /\ exists u v, u *m v^T = target /\ kim u v = 0.
Proof.
split=> [u v|].
  rewrite kimE addr_ge0 ?mulr_ge0 ?divr_ge0 ?invr_ge0 ?ler0n ?sqnorm_ge0 //.
  by apply: le_trans (sqnorm_ge0 _) (proj1 (curvature_bounds _)).
exists (Num.sqrt 2%:R *: delta_mx 1 0), (Num.sqrt 2%:R *: delta_mx 1 0).
have e : (Num.sqrt 2%:R *: delta_mx 1 0 : 'cV[F]_2) *m (Num.sqrt 2%:R *: delta_mx 1 0)^T = target.
  by rewrite tr_scale -scalemxAl -scalemxAr scalerA trmx_delta mul_delta_mx -expr2 sqr_sqrtr ?ler0n.
by rewrite kimE e !subrr sqnorm0 mulr0 addr0 /curve !mxE !expr0n /= !(mulr0, addr0, mul0r).
Qed.

Lemma value_trap : kim e1 e1 = 3%:R.
Proof.
rewrite kimE curve_factors subrr sqnorm0 mulr0 addr0 /e1 !mxE /= ?mulr0n ?mulr1n; by field.
Qed.

(* what is beside squares, term by term *)
Lemma excess_ge0 (w s p q : F) : p * q = w * s -> 3%:R <= beta * w ->
  0 <= beta / 2%:R * (p ^+ 2 + q ^+ 2) - 3%:R * s.
Proof.
move=> pq w3; have b0 : 0 <= beta / 2%:R by rewrite divr_ge0 ?ler0n // (le_trans _ beta3) ?ler0n.
have sq : 0 <= beta / 2%:R * (p ^+ 2 + q ^+ 2) by rewrite mulr_ge0 // addr_ge0 ?sqr_ge0.
have [s0|s0] := lerP 0 s; last by rewrite addr_ge0 // oppr_ge0 pmulr_rle0 ?ltr0n // ltW.
have -> : beta / 2%:R * (p ^+ 2 + q ^+ 2) - 3%:R * s = (beta * w - 3%:R) * s + beta / 2%:R * (p - q) ^+ 2.
  by rewrite mulrBl -[beta * w * s]mulrA -pq; field.
by apply: addr_ge0; apply: mulr_ge0; rewrite ?subr_ge0 ?sqr_ge0.
Qed.

Lemma value_excess u v (w := u 0 0 * v 0 0) (s := u 1 0 * v 1 0) : kim u v = 3%:R +
  ((w - 1 + s / 2%:R) ^+ 2 + 3%:R / 4%:R * s ^+ 2
   + (beta / 2%:R * ((u 0 0 * v 1 0) ^+ 2 + (u 1 0 * v 0 0) ^+ 2) - 3%:R * s) + lam / 2%:R * sqnorm (u - v)).
Proof.
rewrite kimE curve_factors -/w -/s; move: (sqnorm _) (u 0 0 * v 1 0) (u 1 0 * v 0 0) => n p q.
by clearbody w s; ring.
Qed.

Section Nonnegative.
Variables (u v : 'cV[F]_2).
Hypothesis w3 : 3%:R <= beta * (u 0 0 * v 0 0).

Let cross_ge0 : 0 <= beta / 2%:R * ((u 0 0 * v 1 0) ^+ 2 + (u 1 0 * v 0 0) ^+ 2) - 3%:R * (u 1 0 * v 1 0).
Proof. by apply: excess_ge0 w3; move: (u 0 0) (u 1 0) (v 0 0) (v 1 0) => a b c d; ring. Qed.
Let tail_ge0 : 0 <= 3%:R / 4%:R * (u 1 0 * v 1 0) ^+ 2.
Proof. by rewrite mulr_ge0 ?sqr_ge0 // divr_ge0 ?ler0n. Qed.
Let reg_ge0 : 0 <= lam / 2%:R * sqnorm (u - v).
Proof. by rewrite mulr_ge0 ?sqnorm_ge0 // divr_ge0 ?ler0n. Qed.

Theorem kim_trap_local : kim e1 e1 <= kim u v.
Proof.
by rewrite value_trap value_excess lerDl; do 2!(apply: addr_ge0 => //); apply: addr_ge0; rewrite ?sqr_ge0.
Qed.

Theorem kim_trap_strict : 0 < lam -> kim u v = kim e1 e1 -> u = v /\ (u = e1 \/ u = - e1).
Proof.
move=> lam0; rewrite value_trap value_excess -[RHS]addr0 => /addrI/eqP.
rewrite (paddr_eq0 (addr_ge0 (addr_ge0 (sqr_ge0 _) tail_ge0) cross_ge0) reg_ge0).
rewrite (paddr_eq0 (addr_ge0 (sqr_ge0 _) tail_ge0) cross_ge0) (paddr_eq0 (sqr_ge0 _) tail_ge0).
case/andP=> /andP[/andP[h s0] _] reg.
have uv : u = v.
  move: reg; rewrite mulf_eq0 mulf_eq0 invr_eq0 pnatr_eq0 orbF (gt_eqF lam0) sqnorm_eq0 subr_eq0 => /eqP //.
split=> //; move: s0 h; rewrite -uv mulf_eq0 mulf_eq0 invr_eq0 !pnatr_eq0 /= sqrf_eq0 mulf_eq0 orbb => /eqP u1.
rewrite u1 mul0r mul0r addr0 sqrf_eq0 subr_eq0 -expr2 sqrf_eq1.
have uE a : u 0 0 = a -> u = a *: e1.
  move=> ua; apply/colP=> i; rewrite /e1 !mxE eqxx andbT; case: (unliftP 0 i) => [j ->|->]; last by rewrite mulr1.
  by rewrite mulr0 -u1; congr (u _ 0); rewrite (ord1 j); apply: val_inj.
by case/orP=> /eqP/uE ->; rewrite ?scale1r ?scaleN1r; [left | right].
Qed.
End Nonnegative.

(* beta = 3 + any excess: a minimum of the rank of the global one, of half its norm, and not global *)
Theorem kim_not_global : exists u v, kim u v < kim e1 e1.
Proof. by have [_ [u [v [_ e]]]] := global_value; exists u, v; rewrite e value_trap ltr0n. Qed.
End Kim.
