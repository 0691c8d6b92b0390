(* Exact traps of the linearised LoRA problem: local minima, up to the gauge, that are not global. Every size.

   - trap_b_local, _strict, _not_global (every r >= 1): d = r(r+3)/2 functionals, lam = 1. In the ball |u - u0|^2 + |v - v0|^2 <= 1/16 around u = v = [1; 0] the
     objective is at least its value there, 3r/2, with equality only on the orbit of O(r); and a point of the same rank
     lies lower by 7/32. With sharp.v: the threshold d < r(r+3)/2 is sharp. For r = 1 the orbit is {u, -u}.
   - trap_c_local, _not_global (every r >= 1): d = r + 1 functionals, a local minimum that is not global, though r(r+1)/2 > d from r = 3 on:
     Theorem 4.1 needs its perturbation P, and r >= d (squared_loss.v) cannot be weakened to r + 1 >= d.
   What they say of the thresholds is in sharpness.v.
   The functionals and labels are those of lora_proofs.ntk.traps; the sum over data has no 1/N (c = 1).
   Differs from claims theorem-4.1-sharp-is-sharp, theorem-4.1-sharp-is-sharp-value, theorem-4.1-needs-its-perturbation:
   there the verdict is an exact inertia for given r, here an inequality in an explicit ball for all r.
   Outside: that the traps persist on an open set of (G, y); the logistic traps. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp Require Import ring.
From LoraProofs Require Import compat vectors landscape existence nuclear_problem squared_loss.
Set Implicit Arguments. Unset Strict Implicit. Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Basics.
Variable F : realFieldType.

Lemma inner_block p q p' q' (A A' : 'M[F]_(p, q)) (B B' : 'M[F]_(p, q')) (C C' : 'M[F]_(p', q)) (D D' : 'M[F]_(p', q')) :
  inner (block_mx A B C D) (block_mx A' B' C' D') = inner A A' + inner C C' + (inner B B' + inner D D').
Proof. by rewrite /inner tr_block_mx mulmx_block mxtrace_block !mxtraceD. Qed.

Lemma inner_square p q (A B : 'M[F]_(p, q)) : inner (A + B) (A + B) = inner A A + 2%:R * inner A B + inner B B.
Proof. by rewrite innerDl !innerDr [inner B A]innerC; move: (inner A A) (inner A B) (inner B B) => a b c; ring. Qed.

Lemma inner_square_sub p q (A B : 'M[F]_(p, q)) : inner (A - B) (A - B) = inner A A - 2%:R * inner A B + inner B B.
Proof. by rewrite inner_square innerNl !innerNr; move: (inner A A) (inner A B) (inner B B) => a b c; ring. Qed.

Lemma cauchy p q (A B : 'M[F]_(p, q)) : inner A B ^+ 2 <= inner A A * inner B B.
Proof.
have [B0|B0] := eqVneq (inner B B) 0; first by rewrite (ip_eq0 B0) inner0r expr0n /= inner0r mulr0.
have Bp : 0 < inner B B by rewrite lt_def B0 ip_ge0.
rewrite -subr_ge0 -(pmulr_rge0 _ Bp); have := ip_ge0 (inner B B *: A - inner A B *: B).
rewrite inner_square_sub !innerZl !innerZr; congr (0 <= _).
by move: (inner A A) (inner A B) (inner B B) => a b c; ring.
Qed.

(* the Frobenius norm bounds the operator norm *)
Lemma inner_mulmx p q (P : 'M[F]_(p, q)) (c : 'cV[F]_q) : inner (P *m c) (P *m c) <= inner P P * inner c c.
Proof.
have -> : inner P P = \sum_i inner (row i P)^T (row i P)^T.
  rewrite inner_sum exchange_big; apply: eq_bigr => i _; rewrite inner_sum big_ord1.
  by apply: eq_bigr => j _; rewrite !mxE.
rewrite inner_sum big_ord1 mulr_suml; apply: ler_sum => i _; apply: le_trans (cauchy _ _).
have -> : inner (row i P)^T c = (P *m c) i 0 by rewrite /inner trmxK trace_mx11 -row_mul mxE.
by rewrite expr2.
Qed.

(* the objective with data in any finite type *)
Definition lora_in (K : finType) m n (G : K -> 'M[F]_(m, n)) (y : K -> F) c lam r (u : 'M[F]_(m, r)) (v : 'M[F]_(n, r)) :=
  lora (fun k : 'I_#|K| => G (enum_val k)) (fun k => y (enum_val k)) c lam u v.

Lemma lora_sum (K : finType) m n (G : K -> 'M[F]_(m, n)) (y : K -> F) c lam r (u : 'M[F]_(m, r)) (v : 'M[F]_(n, r)) :
  lora_in G y c lam u v =
  c / 2%:R * (\sum_k (inner (G k) (u *m v^T) - y k) ^+ 2) + lam / 2%:R * (inner u u + inner v v).
Proof. by rewrite /lora_in /lora; congr (_ * _ + _); rewrite [RHS](reindex _ (onW_bij _ (enum_val_bij K))). Qed.

Lemma inner_trace p q (A B : 'M[F]_(p, q)) : \tr (A *m B^T) = inner A B.
Proof. by rewrite /inner -mxtrace_tr trmx_mul trmxK mxtrace_mulC. Qed.

Lemma sum_const n (x : F) : \sum_(i < n) x = n%:R * x.
Proof. by rewrite big_const_ord iter_addr_0 mulr_natl. Qed.

Lemma half_ge0 (a : F) : (0 <= a / 2%:R) = (0 <= a).
Proof. by rewrite pmulr_lge0 // invr_gt0 ltr0n. Qed.
End Basics.

(* ---------------------------------------------------------------- families B and C: lam > 0 *)
Section Corner.
Variables (F : realFieldType) (k : nat).
Notation r := k.+1.
Variables (X Y : 'M[F]_r) (a b : 'cV[F]_r).

(* what the last row of the factors adds to the objective, beyond 1/2 |X - Y|^2 *)
Definition corner : F := inner a a + inner b b - 5%:R / 2%:R * inner a b + inner (X *m b + Y *m a) (X *m b + Y *m a) / 4%:R.

Lemma corner_bound : inner (X + Y - 2%:R%:M) (X + Y - 2%:R%:M) <= 8%:R^-1 -> inner (X - Y) (X - Y) <= 8%:R^-1 ->
  (inner (a + b) (a + b) + inner (a - b) (a - b)) / 64%:R <= corner.
Proof.
set P := X + Y - _; set K := X - Y => hP hK; pose c := a + b; pose e := a - b; pose dl := P *m c - K *m e.
have h1 : inner (P *m c) (P *m c) <= 8%:R^-1 * inner c c by apply: le_trans (inner_mulmx _ _) _; rewrite ler_wpM2r ?ip_ge0.
have h2 : inner (K *m e) (K *m e) <= 8%:R^-1 * inner e e by apply: le_trans (inner_mulmx _ _) _; rewrite ler_wpM2r ?ip_ge0.
have h3 := ip_ge0 (P *m c + K *m e); have h4 := ip_ge0 (c + 2%:R *: dl).
have ZE : X *m b + Y *m a = 2%:R^-1 *: (2%:R *: c + dl).
  have -> : 2%:R *: c + dl = 2%:R *: (X *m b + Y *m a); last by rewrite scalerA mulVf ?scale1r // pnatr_eq0.
  rewrite /dl /P /K /c /e !(mulmxBl, mulmxDl, mulmxBr, mulmxDr) !mul_scalar_mx !scalerDr.
  by apply/colP=> i; rewrite !mxE; ring.
have aE : inner a a + inner b b - 5%:R / 2%:R * inner a b = 9%:R / 8%:R * inner e e - 8%:R^-1 * inner c c.
  by rewrite /c /e inner_square_sub inner_square; move: (inner a a) (inner a b) (inner b b) => x y z; field.
have dE : inner dl dl = inner (P *m c) (P *m c) - 2%:R * inner (P *m c) (K *m e) + inner (K *m e) (K *m e) by apply: inner_square_sub.
rewrite /corner ZE aE -/c -/e; clearbody c e dl P K.
move: h3 h4; rewrite !(inner_square, innerZl, innerZr) => h3 h4.
move: dE h1 h2 h3 h4 (ip_ge0 c) (ip_ge0 e).
move: (inner (P *m c) (K *m e)) (inner (K *m e) _) (inner (P *m c) _) (inner dl dl) (inner c dl) (inner c c) (inner e e) => s q p dd cd cc ee dE h1 h2 h3 h4 c0 e0.
rewrite -subr_ge0; set g := (X in 0 <= X).
have -> : g = (cc + 2%:R * (2%:R * cd) + 2%:R * (2%:R * dd)) / 16%:R + 3%:R / 16%:R * (p + 2%:R * s + q)
    + 3%:R / 8%:R * (8%:R^-1 * cc - p) + 3%:R / 8%:R * (8%:R^-1 * ee - q) + 17%:R / 16%:R * ee.
  by rewrite /g dE; field.
have pos i j : 0 <= i%:R / j%:R :> F by rewrite divr_ge0 ?ler0n.
by rewrite !addr_ge0 // mulr_ge0 ?subr_ge0 ?invr_ge0 ?ler0n.
Qed.
End Corner.

Section FamiliesBC.
Variables (F : realFieldType) (k : nat).
Notation r := k.+1.
Notation upper := {p : 'I_r * 'I_r | (p.1 <= p.2)%N}.
Notation factor := 'M[F]_(r + 1, r).
Implicit Types (u v : factor) (X Y : 'M[F]_r) (a b : 'cV[F]_r).

Definition face : factor := col_mx 1%:M 0.
(* the first column of the face moved to the last unit vector *)
Definition moved : factor := col_mx (1%:M - delta_mx 0 0) (delta_mx 0 0).

Definition coupling (j : 'I_r) : 'M[F]_(r + 1) := 2%:R^-1 *: block_mx 0 (delta_mx j 0) (delta_mx 0 j) 0.
Definition hit (p : 'I_r * 'I_r) : F := ((p.1 == 0) && (p.2 == 0))%:R.
Definition G_B (q : upper + 'I_r) : 'M[F]_(r + 1) := match q with
  | inl p => block_mx (2%:R^-1 *: (delta_mx (val p).1 (val p).2 + delta_mx (val p).2 (val p).1)) 0
      0 (5%:R / 4%:R * hit (val p))%:M
  | inr j => coupling j end.
Definition y_B (q : upper + 'I_r) : F := if q is inl p then ((val p).1 == (val p).2)%:R *+ 2 else 0.
Definition G_C (q : unit + 'I_r) : 'M[F]_(r + 1) := match q with
  | inl _ => block_mx 1%:M 0 0 (5%:R / 4%:R)%:M
  | inr j => coupling j end.
Definition y_C (q : unit + 'I_r) : F := if q is inl _ then r.+1%:R else 0.

Definition L_B u v := lora_in G_B y_B 1 1 u v.
Definition L_C u v := lora_in G_C y_C 1 1 u v.

Lemma number_B : #|{: upper + 'I_r}| = ('C(r.+1, 2) + r)%N.
Proof. by rewrite card_sum card_upper card_ord. Qed.
Lemma number_C : #|{: unit + 'I_r}| = r.+1.
Proof. by rewrite card_sum card_unit card_ord. Qed.

Lemma outer X a Y b : col_mx X a^T *m (col_mx Y b^T)^T = block_mx (X *m Y^T) (X *m b) (a^T *m Y^T) (a^T *m b).
Proof. by rewrite tr_col_mx trmxK mul_col_row. Qed.

Lemma couplingE j X a Y b : inner (coupling j) (col_mx X a^T *m (col_mx Y b^T)^T) = (X *m b + Y *m a) j 0 / 2%:R.
Proof.
rewrite outer innerZl inner_block !inner0l !inner_delta addr0 add0r mulrC [in RHS]mxE [in RHS]addrC; congr ((_ + _) / _).
by rewrite -trmx_mul mxE.
Qed.

Lemma sum_coupling X a Y b (w : 'cV[F]_r) : w = X *m b + Y *m a ->
  \sum_j (w j 0 / 2%:R - 0) ^+ 2 = inner w w / 4%:R.
Proof.
by move=> _; rewrite inner_sum big_ord1 mulr_suml; apply: eq_bigr => j _; field.
Qed.

(* the residuals of B on the face, less those at u = v = [1; 0] *)
Definition gap_B X Y a b (p : 'I_r * 'I_r) : F :=
  ((X *m Y^T) p.1 p.2 + (X *m Y^T) p.2 p.1) / 2%:R + 5%:R / 4%:R * hit p * inner a b - (p.1 == p.2)%:R.

Lemma sum_diagonal (f : 'I_r * 'I_r -> F) : \sum_(p : upper) ((val p).1 == (val p).2)%:R * f (val p) = \sum_i f (i, i).
Proof.
rewrite (bigID (fun p : upper => (val p).1 == (val p).2)) /= [X in _ + X]big1 ?addr0 => [|p /negPf->]; last by rewrite mul0r.
rewrite (reindex_onto (fun i : 'I_r => exist _ (i, i) (leqnn i) : upper) (fun p : upper => (val p).1)) /= => [|p /eqP e].
  by apply: eq_big => [i|i _]; rewrite ?eqxx // mul1r.
by apply: val_inj; rewrite /= {2}e -surjective_pairing.
Qed.

Lemma value_B X a Y b : L_B (col_mx X a^T) (col_mx Y b^T) =
  3%:R * r%:R / 2%:R + ((\sum_(p : upper) gap_B X Y a b (val p) ^+ 2) + inner (X - Y) (X - Y) + corner X Y a b) / 2%:R.
Proof.
rewrite /L_B lora_sum big_sumType /=; set w := X *m b + Y *m a.
rewrite [X in _ * (_ + X)](eq_bigr (fun j => (w j 0 / 2%:R - 0) ^+ 2)) => [|j _]; last by rewrite couplingE.
rewrite (sum_coupling (erefl w)).
have resE (p : upper) : inner (G_B (inl p)) (col_mx X a^T *m (col_mx Y b^T)^T) - y_B (inl p) = gap_B X Y a b (val p) - ((val p).1 == (val p).2)%:R.
  rewrite outer /G_B inner_block !inner0l innerZl innerDl !inner_delta /gap_B /y_B.
  have -> : inner (5%:R / 4%:R * hit (val p))%:M (a^T *m b) = 5%:R / 4%:R * hit (val p) * inner a b.
    by rewrite /inner tr_scalar_mx mul_scalar_mx mxtraceZ.
  move: (hit _) (inner a b) (_ == _)%:R ((X *m Y^T) _ _) ((X *m Y^T) _ _) => h i e x y; by field.
have sumE : \sum_(p : upper) (inner (G_B (inl p)) (col_mx X a^T *m (col_mx Y b^T)^T) - y_B (inl p)) ^+ 2 =
    (\sum_(p : upper) gap_B X Y a b (val p) ^+ 2) - 2%:R * (\tr (X *m Y^T) + 5%:R / 4%:R * inner a b - r%:R) + r%:R.
  rewrite (eq_bigr (fun p : upper => gap_B X Y a b (val p) ^+ 2 + ((val p).1 == (val p).2)%:R * (1 - 2%:R * gap_B X Y a b (val p)))).
    rewrite big_split /= (sum_diagonal (fun q => 1 - 2%:R * gap_B X Y a b q)) -addrA; congr (_ + _).
    rewrite sumrB sum_const -mulr_sumr /gap_B !big_split /= sumrN.
    have -> : \sum_(i < r) (i == i)%:R = r%:R :> F by rewrite (eq_bigr (fun=> 1)) ?sum_const ?mulr1 // => i _; rewrite eqxx.
    have -> : \sum_i ((X *m Y^T) i i + (X *m Y^T) i i) / 2%:R = \tr (X *m Y^T).
      by apply: eq_bigr => i _; field.
    have -> : \sum_i 5%:R / 4%:R * hit (i, i) * inner a b = 5%:R / 4%:R * inner a b.
      rewrite (bigD1 0) //= big1 ?addr0 => [|i i0]; last by rewrite /hit /= (negPf i0) mulr0 mul0r.
      by rewrite /hit /= ?eqxx mulr1.
    by move: (\tr _) (inner a b) (k.+1)%:R => x z N; ring.
  move=> p _; rewrite resE; move: (gap_B _ _ _ _ _) => g.
  by case: (_ == _); rewrite /= ?mulr1n ?mulr0n; ring.
rewrite -/(\sum_(p : upper) _) sumE !inner_col !inner_tr inner_trace inner_square_sub /corner -/w.
move: (bigop 0 _ _) (inner a b) (inner w w) (inner X X) (inner X Y) (inner Y Y) (inner a a) (inner b b) (k.+1)%:R => s1 s2 s3 s4 s5 s6 s7 s8 N.
by field.
Qed.

(* a ball around the face, in the terms of corner_bound *)
Lemma near_face X a Y b : inner (col_mx X a^T - face) (col_mx X a^T - face) + inner (col_mx Y b^T - face) (col_mx Y b^T - face) <= 16%:R^-1 ->
  inner (X + Y - 2%:R%:M) (X + Y - 2%:R%:M) <= 8%:R^-1 /\ inner (X - Y) (X - Y) <= 8%:R^-1.
Proof.
rewrite /face !opp_col_mx !add_col_mx !inner_col !oppr0 !addr0 !inner_tr.
have -> : X + Y - 2%:R%:M = (X - 1%:M) + (Y - 1%:M) by apply/matrixP=> i j; rewrite !mxE; case: (_ == _); rewrite ?mulr1n ?mulr0n; ring.
have -> : X - Y = (X - 1%:M) - (Y - 1%:M) by apply/matrixP=> i j; rewrite !mxE; ring.
have := ip_ge0 a; have := ip_ge0 b; move: (X - _) (Y - _) => A B b0 a0.
have := ip_ge0 (A - B); have := ip_ge0 (A + B); rewrite inner_square_sub inner_square.
move: (inner A A) (inner A B) (inner B B) (inner a a) (inner b b) b0 a0 => x z y s t t0 s0 h1 h2; rewrite -subr_ge0 => h3.
have e8 : 8%:R^-1 = 2%:R * 16%:R^-1 :> F by field.
have two : (0 : F) <= 2%:R by rewrite ler0n.
have key := addr_ge0 (mulr_ge0 two h3) (addr_ge0 (mulr_ge0 two s0) (mulr_ge0 two t0)).
split; rewrite -subr_ge0 e8.
  by apply: le_trans (addr_ge0 key h2) _; rewrite le_eqVlt (_ : _ == _) //; apply/eqP; field.
by apply: le_trans (addr_ge0 key h1) _; rewrite le_eqVlt (_ : _ == _) //; apply/eqP; field.
Qed.

Lemma corner_ge0 X a Y b : inner (col_mx X a^T - face) (col_mx X a^T - face) + inner (col_mx Y b^T - face) (col_mx Y b^T - face) <= 16%:R^-1 ->
  0 <= corner X Y a b /\ (corner X Y a b = 0 -> a = 0 /\ b = 0).
Proof.
case/near_face=> hP hK; have := corner_bound a b hP hK; set g := _ / 64%:R => gc.
have g0 : 0 <= g by rewrite divr_ge0 ?ler0n // addr_ge0 ?ip_ge0.
split=> [|c0]; first exact: le_trans gc.
have : g = 0 by apply/eqP; rewrite eq_le g0 -c0 gc.
move/eqP; rewrite mulf_eq0 invr_eq0 pnatr_eq0 orbF paddr_eq0 ?ip_ge0 // => /andP[/eqP/ip_eq0 h1 /eqP/ip_eq0 h2].
have a2 : 2%:R *: a = 0.
  have -> : 2%:R *: a = (a + b) + (a - b) by rewrite scaler_nat mulr2n addrACA subrr addr0.
  by rewrite h1 h2 addr0.
have a0 : a = 0 by apply/eqP; move/eqP: a2; rewrite scaler_eq0 pnatr_eq0.
by split=> //; move: h1; rewrite a0 add0r.
Qed.

Lemma split_factor u : u = col_mx (usubmx u) ((dsubmx u)^T)^T.
Proof. by rewrite trmxK vsubmxK. Qed.

Lemma corner0 X Y : corner X Y 0 0 = 0.
Proof. by rewrite /corner !mulmx0 !inner0r !addr0 !inner0r mulr0 mul0r subr0 addr0. Qed.

Lemma value_B_face : L_B face face = 3%:R * r%:R / 2%:R.
Proof.
rewrite /face -(trmx0 F r 1) value_B corner0 subrr inner0r !addr0.
rewrite big1 ?mul0r ?addr0 // => p _; rewrite /gap_B trmx1 mulmx1 inner0r mulr0 addr0 !mxE [(_ == (val p).1)]eq_sym.
by rewrite -mulr2n -(mulr_natr _ 2) mulfK ?subrr ?expr0n // pnatr_eq0.
Qed.

(* B_r: a local minimum, in a ball around it *)
Theorem trap_b_local u v : inner (u - face) (u - face) + inner (v - face) (v - face) <= 16%:R^-1 -> L_B face face <= L_B u v.
Proof.
rewrite value_B_face [u]split_factor [v]split_factor => /corner_ge0[c0 _].
by rewrite value_B lerDl half_ge0 addr_ge0 // addr_ge0 ?ip_ge0 // sumr_ge0 // => p _; apply: sqr_ge0.
Qed.

(* strict up to the gauge: only the orbit of O(r) has the same value *)
Theorem trap_b_strict u v : inner (u - face) (u - face) + inner (v - face) (v - face) <= 16%:R^-1 ->
  L_B u v = L_B face face -> exists R : 'M[F]_r, [/\ R^T *m R = 1%:M, u = face *m R & v = face *m R].
Proof.
rewrite value_B_face [u]split_factor [v]split_factor; move: (usubmx u) (dsubmx u)^T (usubmx v) (dsubmx v)^T => X a Y b.
case/corner_ge0=> c0 cE; rewrite value_B -[RHS]addr0 => /addrI/eqP; rewrite mulf_eq0 invr_eq0 pnatr_eq0 orbF.
have s0 : 0 <= \sum_(p : upper) gap_B X Y a b (val p) ^+ 2 by apply: sumr_ge0 => p _; apply: sqr_ge0.
rewrite (paddr_eq0 (addr_ge0 s0 (ip_ge0 _)) c0) (paddr_eq0 s0 (ip_ge0 _)) => /andP[/andP[/eqP sE /eqP/ip_eq0 XY] /eqP/cE[a0 b0]].
have {XY} YX : Y = X by apply/eqP; rewrite eq_sym -subr_eq0 XY.
exists X; rewrite /face mul_col_mx mul1mx mul0mx YX a0 b0 trmx0; split=> //; apply: mulmx1C.
have gap0 (p : upper) : gap_B X Y a b (val p) = 0.
  by apply/eqP; rewrite -sqrf_eq0; apply/eqP; move: p isT; apply/psumr_eq0P => // q _; apply: sqr_ge0.
have sy i j : (X *m X^T) i j = (X *m X^T) j i by rewrite -{1}[X *m X^T]trmxK mxE trmx_mul trmxK.
have one (i j : 'I_r) : (i <= j)%N -> (X *m X^T) i j = (i == j)%:R.
  move=> ij; have := gap0 (exist _ (i, j) ij); rewrite /gap_B /= YX a0 inner0l mulr0 addr0 [(X *m X^T) j i]sy.
  by rewrite -mulr2n -(mulr_natr _ 2) mulfK ?pnatr_eq0 // => /eqP; rewrite subr_eq0 => /eqP.
apply/matrixP=> i j; rewrite [RHS]mxE; case: (leqP i j) => [/one//|/ltnW/one]; by rewrite sy eq_sym.
Qed.

End FamiliesBC.

Section NotGlobal.
Variables (F : realFieldType) (k : nat).
Notation r := k.+1.
Notation upper := {p : 'I_r * 'I_r | (p.1 <= p.2)%N}.
Notation factor := 'M[F]_(r + 1, r).
Implicit Types (u v : factor) (X Y : 'M[F]_r) (a b : 'cV[F]_r).
Notation L_B := (@L_B F k). Notation L_C := (@L_C F k). Notation face := (face F k). Notation moved := (moved F k).
(* and not global: the column moved to the last unit vector is lower *)
Lemma moved_facts (E : 'M[F]_r := delta_mx 0 0) (X := 1%:M - E) (a : 'cV[F]_r := delta_mx 0 0) :
  [/\ moved = col_mx X a^T, X *m X^T = X, corner X X a a = - 2%:R^-1 & inner a a = 1].
Proof.
have EE : E *m E = E by rewrite mul_delta_mx.
have Xa : X *m a = 0 by rewrite mulmxBl mul1mx mul_delta_mx subrr.
have aa : inner a a = 1 by rewrite inner_delta mxE !eqxx.
split=> //; first by rewrite /moved trmx_delta.
  have -> : X^T = X by rewrite /X /E; apply/matrixP=> i j; rewrite !mxE andbC eq_sym.
  by rewrite mulmxBr mulmx1 mulmxBl mul1mx EE subrr subr0.
by rewrite /corner Xa !addr0 inner0l aa; field.
Qed.

Theorem trap_b_not_global : L_B moved moved = L_B face face - 7%:R / 32%:R.
Proof.
have [-> XX cE aa] := moved_facts; set X := 1%:M - _ in XX cE *; set a := delta_mx 0 0 in cE aa *.
rewrite value_B_face value_B subrr inner0l cE.
have -> : \sum_(p : upper) gap_B X X a a (val p) ^+ 2 = 16%:R^-1; last by move: (k.+1)%:R => N; field.
have gE (p : upper) : gap_B X X a a (val p) = hit F (val p) / 4%:R.
  rewrite /gap_B XX aa /X !mxE [(val p).2 == (val p).1]eq_sym /hit [(_ == 0) && ((val p).1 == 0)]andbC.
  by move: (_ && _)%:R (_ == _)%:R => h e; field.
rewrite (eq_bigr (fun p : upper => ((val p).1 == (val p).2)%:R * (hit F (val p) / 16%:R))) => [|p _]; last first.
  rewrite gE /hit; case: (val p) => i j /=.
  case: (i =P 0) => [->|_]; case: (j =P 0) => [->|_]; rewrite ?eqxx /= ?mulr0n ?mul0r ?mulr0 ?expr0n //.
  by rewrite mulr1n; field.
rewrite (sum_diagonal (fun q => hit F q / 16%:R)) (bigD1 0) //= big1 ?addr0 => [|i i0]; first by rewrite /hit /= mul1r.
by rewrite /hit /= (negPf i0) mul0r.
Qed.

Lemma value_C X a Y b : L_C (col_mx X a^T) (col_mx Y b^T) = r%:R + 2%:R^-1 +
  ((inner X Y + 5%:R / 4%:R * inner a b - r%:R) ^+ 2 + inner (X - Y) (X - Y) + corner X Y a b) / 2%:R.
Proof.
rewrite /L_C lora_sum big_sumType /=; set w := X *m b + Y *m a.
rewrite [X in _ * (_ + X)](eq_bigr (fun j => (w j 0 / 2%:R - 0) ^+ 2)) => [|j _]; last by rewrite couplingE.
rewrite (sum_coupling (erefl w)) (big_pred1 tt) => [|[]//].
have -> : inner (G_C F (inl tt)) (col_mx X a^T *m (col_mx Y b^T)^T) = inner X Y + 5%:R / 4%:R * inner a b.
  rewrite outer /G_C inner_block !inner0l addr0 add0r; congr (_ + _); first by rewrite /inner trmx1 mul1mx inner_trace.
  by rewrite /inner tr_scalar_mx mul_scalar_mx mxtraceZ.
have e1 : k.+2%:R = k.+1%:R + 1 :> F by rewrite -addn1 natrD.
rewrite /y_C e1 !inner_col !inner_tr inner_square_sub /corner -/w.
move: (inner a b) (inner w w) (inner X X) (inner X Y) (inner Y Y) (inner a a) (inner b b) (k.+1)%:R => s2 s3 s4 s5 s6 s7 s8 N.
by field.
Qed.

Lemma value_C_face : L_C face face = r%:R + 2%:R^-1.
Proof.
rewrite /face -(trmx0 F r 1) value_C corner0 subrr !inner0r mulr0 !addr0 /inner trmx1 mul1mx mxtrace1 subrr expr0n.
by rewrite mul0r addr0.
Qed.

(* C_r: a local minimum with r + 1 functionals *)
Theorem trap_c_local u v : inner (u - face) (u - face) + inner (v - face) (v - face) <= 16%:R^-1 -> L_C face face <= L_C u v.
Proof.
rewrite value_C_face [u]split_factor [v]split_factor => /corner_ge0[c0 _].
by rewrite value_C lerDl half_ge0 addr_ge0 // addr_ge0 ?ip_ge0 // sqr_ge0.
Qed.

Theorem trap_c_not_global : L_C moved moved = L_C face face - 7%:R / 32%:R.
Proof.
have [-> XX cE aa] := moved_facts; set X := 1%:M - _ in XX cE *; set a := delta_mx 0 0 in cE aa *.
rewrite value_C_face value_C subrr inner0l cE aa.
have -> : inner X X = r%:R - 1; last by move: (k.+1)%:R => N; field.
rewrite -inner_trace XX /X raddfB /= mxtrace1; congr (_ - _); rewrite /mxtrace (bigD1 0) //= big1 => [|i i0].
  by rewrite mxE !eqxx addr0.
by rewrite mxE (negPf i0).
Qed.
End NotGlobal.
