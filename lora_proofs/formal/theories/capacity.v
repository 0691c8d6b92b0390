(* lam = 0, r = 1: the traps D_n with n + 1 functionals, for every n >= 2, and what they say of capacity rules.

   - trap_d_local: wherever p t >= 2/9 (p, t the last entries of u, v) the objective is at least 1/2, its value at the
     trap u = v = e_n / 2; trap_d_strict: where p t > 2/9, with equality only on the orbit of scaling (u, v) -> (s u, v/s).
   - trap_d_not_global: at u = v = e_1 it is 1/32.
   - capacity_constant: for all whole a < 2 b there is an n with r(m + n) - r^2 = 2n - 1 > (a/b) (n + 1): so for no C* < 2
     does r(m+n) - r^2 > C* KN exclude such minima, for all labels. Proves theorem-capacity-all-labels (squared loss).
   The functionals are G_0 = E_11 + .. + E_{n-1,n-1}, 3/2 (E_in + E_ni) for i < n, E_nn; y = (1, 0, .., 0, 1/4).
   Differs from Park's abstract, where the reading "for all labels" is one of two; from the claim: all n, an inequality on
   an explicit neighbourhood in place of an inertia. Outside: that D_n persists on an open set of (G, y); D_{n,r}, r > 1. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp Require Import ring.
From LoraProofs Require Import compat vectors landscape existence nuclear_problem squared_loss traps.
Set Implicit Arguments. Unset Strict Implicit. Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section FamilyD.
Variables (F : realFieldType) (k : nat).     (* n = k + 1 *)
Notation factor := 'cV[F]_(k + 1).
Implicit Types (u v : factor) (a b : 'cV[F]_k) (p t : F).

Definition G_D (q : bool + 'I_k) : 'M[F]_(k + 1) := match q with
  | inl true => block_mx 1%:M 0 0 0
  | inl false => block_mx 0 0 0 1%:M
  | inr i => (3%:R / 2%:R) *: block_mx 0 (delta_mx i 0) (delta_mx 0 i) 0 end.
Definition y_D (q : bool + 'I_k) : F := match q with inl true => 1 | inl false => 4%:R^-1 | inr _ => 0 end.
Definition L_D u v := lora_in G_D y_D 1 0 u v.

Lemma number_D : #|{: bool + 'I_k}| = k.+2.
Proof. by rewrite card_sum card_bool card_ord. Qed.

Definition trap_d : factor := col_mx 0 (2%:R^-1)%:M.

(* each pair of entries beside the last adds (3/2 (a t + b p))^2 - 2 a b *)
Lemma value_D a p b t : L_D (col_mx a p%:M) (col_mx b t%:M) =
  2%:R^-1 + ((\sum_i ((3%:R / 2%:R * (a i 0 * t + b i 0 * p)) ^+ 2 - 2%:R * (a i 0 * b i 0))) + inner a b ^+ 2 + (p * t - 4%:R^-1) ^+ 2) / 2%:R.
Proof.
rewrite /L_D lora_sum big_sumType /= mul0r mul0r addr0 (bigD1 true) //= (big_pred1 false) => [|[]//].
have outerE : col_mx a p%:M *m (col_mx b t%:M)^T = block_mx (a *m b^T) (t *: a) (p *: b^T) (p * t)%:M.
  by rewrite tr_col_mx mul_col_row tr_scalar_mx mul_mx_scalar mul_scalar_mx -scalar_mxM.
rewrite outerE /G_D !inner_block !inner0l !addr0 !add0r.
have -> : inner 1%:M (a *m b^T) = inner a b by rewrite /inner trmx1 mul1mx mxtrace_mulC -mxtrace_tr trmx_mul trmxK.
have -> : inner (1%:M : 'M[F]_1) (p * t)%:M = p * t by rewrite /inner trmx1 mul1mx trace_mx11 mxE.
have -> : \sum_i (inner ((3%:R / 2%:R) *: block_mx 0 (delta_mx i 0) (delta_mx 0 i) 0)
    (block_mx (a *m b^T) (t *: a) (p *: b^T) (p * t)%:M) - 0) ^+ 2 =
    \sum_i ((3%:R / 2%:R * (a i 0 * t + b i 0 * p)) ^+ 2 - 2%:R * (a i 0 * b i 0)) + 2%:R * inner a b.
  rewrite [in RHS]inner_sum big_ord1 mulr_sumr -big_split; apply: eq_bigr => i _ /=.
  rewrite innerZl inner_block !inner0l !inner_delta addr0 add0r !mxE subrK subr0; congr ((_ * _) ^+ 2).
  by rewrite addrC ![_ * a i 0]mulrC ![_ * b i 0]mulrC.
by move: (bigop 0 _ _) (inner a b) => s x; field.
Qed.

Lemma pair_ge0 (x z p t : F) : 2%:R / 9%:R <= p * t -> 0 <= (3%:R / 2%:R * (x * t + z * p)) ^+ 2 - 2%:R * (x * z).
Proof.
move=> pt; have [xz|xz] := lerP 0 (x * z); last first.
  by rewrite addr_ge0 ?sqr_ge0 // oppr_ge0 pmulr_rle0 ?ltr0n // ltW.
have -> : (3%:R / 2%:R * (x * t + z * p)) ^+ 2 - 2%:R * (x * z) =
  9%:R * ((p * t - 2%:R / 9%:R) * (x * z)) + (3%:R / 2%:R * (x * t - z * p)) ^+ 2 by field.
by rewrite addr_ge0 ?sqr_ge0 // mulr_ge0 ?ler0n // mulr_ge0 // subr_ge0.
Qed.

Lemma pair_eq0 (x z p t : F) : 2%:R / 9%:R < p * t ->
  (3%:R / 2%:R * (x * t + z * p)) ^+ 2 - 2%:R * (x * z) = 0 -> x = 0 /\ z = 0.
Proof.
move=> pt e0; have p0 : p * t != 0 by rewrite gt_eqF // (lt_trans _ pt) // divr_gt0 ?ltr0n.
have xz : x * z = 0.
  apply/eqP; rewrite eq_le; apply/andP; split; rewrite leNgt; apply/negP=> xz.
    have : 0 < (3%:R / 2%:R * (x * t + z * p)) ^+ 2 - 2%:R * (x * z); last by rewrite e0 ltxx.
    have -> : (3%:R / 2%:R * (x * t + z * p)) ^+ 2 - 2%:R * (x * z) =
      9%:R * ((p * t - 2%:R / 9%:R) * (x * z)) + (3%:R / 2%:R * (x * t - z * p)) ^+ 2 by field.
    by rewrite ltr_pwDl ?sqr_ge0 // mulr_gt0 ?ltr0n // mulr_gt0 // subr_gt0.
  have : 0 < (3%:R / 2%:R * (x * t + z * p)) ^+ 2 - 2%:R * (x * z); last by rewrite e0 ltxx.
  by rewrite ltr_pwDr ?sqr_ge0 // oppr_gt0 pmulr_rlt0 ?ltr0n.
move: e0 p0; rewrite xz mulr0 subr0 mulf_eq0 negb_or => /eqP; rewrite sqrf_eq0 mulf_eq0 => e1 /andP[p0 t0].
have e2 : x * t + z * p = 0.
  by apply/eqP; move: e1; rewrite mulf_eq0 invr_eq0 !pnatr_eq0.
move/eqP: xz; rewrite mulf_eq0 => /orP[]/eqP e; move: e2; rewrite e mul0r ?add0r ?addr0 => /eqP; rewrite mulf_eq0.
  by rewrite (negPf p0) orbF => /eqP.
by rewrite (negPf t0) orbF => /eqP.
Qed.

Lemma split_d u : u = col_mx (usubmx u) (dsubmx u 0 0)%:M.
Proof. by rewrite -mx11_scalar vsubmxK. Qed.

Lemma value_trap_d : L_D trap_d trap_d = 2%:R^-1.
Proof.
rewrite /trap_d value_D inner0l big1 => [|i _]; first by field.
by rewrite mxE; field.
Qed.

(* D_n: a local minimum *)
Theorem trap_d_local u v : 2%:R / 9%:R <= dsubmx u 0 0 * dsubmx v 0 0 -> L_D trap_d trap_d <= L_D u v.
Proof.
move=> pt; rewrite value_trap_d [u]split_d [v]split_d value_D lerDl half_ge0 addr_ge0 ?sqr_ge0 // addr_ge0 ?sqr_ge0 //.
by rewrite sumr_ge0 // => i _; apply: pair_ge0.
Qed.

(* strict up to the gauge *)
Theorem trap_d_strict u v : 2%:R / 9%:R < dsubmx u 0 0 * dsubmx v 0 0 -> L_D u v = L_D trap_d trap_d ->
  exists2 s, s != 0 & u = s *: trap_d /\ v = s^-1 *: trap_d.
Proof.
rewrite value_trap_d [u]split_d [v]split_d !col_mxKd ![_%:M 0 0]mxE !mulr1n.
move: (usubmx u) (dsubmx u 0 0) (usubmx v) (dsubmx v 0 0) => a p b t pt; rewrite value_D -[RHS]addr0 => /addrI/eqP.
have pos i : 0 <= (3%:R / 2%:R * (a i 0 * t + b i 0 * p)) ^+ 2 - 2%:R * (a i 0 * b i 0) by apply/pair_ge0/ltW.
set s := \sum_i _; have s0 : 0 <= s by apply: sumr_ge0.
rewrite mulf_eq0 invr_eq0 pnatr_eq0 orbF (paddr_eq0 (addr_ge0 s0 (sqr_ge0 _)) (sqr_ge0 _)) (paddr_eq0 s0 (sqr_ge0 _)).
case/andP=> /andP[/eqP sE _]; rewrite sqrf_eq0 subr_eq0 => /eqP ptE.
have ab i : a i 0 = 0 /\ b i 0 = 0.
  by apply: (pair_eq0 pt); move: i isT; apply/psumr_eq0P.
have p0 : p != 0 by apply: contraTneq pt => ->; rewrite mul0r -leNgt divr_ge0 ?ler0n.
exists (2%:R * p); first by rewrite mulf_neq0 ?pnatr_eq0.
have [-> ->] : a = 0 /\ b = 0 by split; apply/colP=> i; rewrite mxE; case: (ab i).
rewrite /trap_d !scale_col_mx !scaler0 !scale_scalar_mx; split; congr (col_mx _ _%:M); first by field.
have -> : t = 4%:R^-1 / p by rewrite -ptE mulrC mulKf.
by field.
Qed.
End FamilyD.

(* and not global, for n >= 2 *)
Theorem trap_d_not_global (F : realFieldType) k (e1 := col_mx (delta_mx 0 0) 0%:M : 'cV[F]_(k.+1 + 1)) :
  L_D e1 e1 = 32%:R^-1 /\ L_D e1 e1 < L_D (trap_d F k.+1) (trap_d F k.+1).
Proof.
have e : L_D e1 e1 = 32%:R^-1.
  have d1 : (delta_mx 0 0 : 'cV[F]_k.+1) 0 0 = 1 by rewrite mxE !eqxx.
  rewrite /e1 value_D inner_delta d1 (bigD1 0) //= d1 big1 => [|i i0]; first by field.
  have -> : (delta_mx 0 0 : 'cV[F]_k.+1) i 0 = 0 by rewrite mxE (negPf i0).
  by field.
split=> //; rewrite e value_trap_d -subr_gt0 (_ : _ - _ = 15%:R / 32%:R); first by rewrite divr_gt0 ?ltr0n.
by field.
Qed.

(* r(m + n) - r^2 = 2n - 1 at r = 1, m = n, against a/b < 2 times the number n + 1 of functionals *)
Theorem capacity_constant a b : (a < 2 * b)%N -> exists2 n, (1 < n)%N & (a * n.+1 < b * (n + n - 1))%N.
Proof.
move=> ab; exists (3 * b).+2 => //; set n := (3 * b).+2.
have : (a.+1 * n.+1 <= 2 * b * n.+1)%N by rewrite leq_mul2r ab orbT.
have -> : (2 * b * n.+1 = b * (n + n - 1) + 3 * b)%N.
  by rewrite mulnAC -mulnA [(n.+1 * b)%N]mulnC -(mulnCA b) (mulnC 3%N) -mulnDr; congr (b * _)%N; rewrite mul2n -addnn addSn addnS /n addSn subn1 /= !addnS addn0.
rewrite mulSn addnC => h; rewrite -(ltn_add2r (3 * b)); apply: leq_trans h; rewrite -addnS leq_add2l /n.
by apply: leqW.
Qed.
