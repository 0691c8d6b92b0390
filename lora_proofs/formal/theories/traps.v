(* Exact traps of the linearised LoRA problem: local minima, up to the gauge, that are not global. Every size.

   - trap_b (every r >= 1): d = r(r+3)/2 functionals, lam = 1. In the ball of radius 1/4 around u = v = [1; 0] the
     objective is at least its value there, 3r/2, with equality only on the orbit of O(r); and a point of the same rank
     lies lower by 7/32. With sharp.v: the threshold d < r(r+3)/2 is sharp. For r = 1 the orbit is {u, -u}.
   - trap_c (every r >= 1): d = r + 1 functionals, a local minimum that is not global, though r(r+1)/2 > d from r = 3 on:
     Theorem 4.1 needs its perturbation P, and r >= d (squared_loss.v) cannot be weakened to r + 1 >= d.
   - trap_d (every n = k + 1 >= 2): lam = 0, r = 1, d = n + 1 functionals. Wherever p t > 2/9 the objective is at least
     1/2, with equality only on the orbit of GL(1), but some rank-one point has 1/32.
   - capacity_constant: so no constant C < 2 makes r(m+n) - r^2 > C d exclude such minima (r = 1, m = n).
   The functionals and labels are those of lora_proofs.ntk.traps; the sum over data has no 1/N (c = 1).
   Differs from claims theorem-4.1-sharp-is-sharp, theorem-4.1-needs-its-perturbation, theorem-4.1-unregularised-is-sharp
   and theorem-capacity-all-labels: there the verdict is an exact inertia for given r; here an inequality on an explicit
   neighbourhood for all r. Outside: that the traps persist on an open set, and D_{n,r} with r > 1. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp Require Import ring.
From LoraProofs Require Import vectors landscape existence squared_loss.
Set Implicit Arguments. Unset Strict Implicit. Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Basics.
Variable F : realFieldType.

Lemma ip_block p q p' q' (A A' : 'M[F]_(p, q)) (B B' : 'M[F]_(p, q')) (C C' : 'M[F]_(p', q)) (D D' : 'M[F]_(p', q')) :
  ip (block_mx A B C D) (block_mx A' B' C' D') = ip A A' + ip C C' + (ip B B' + ip D D').
Proof. by rewrite /ip tr_block_mx mulmx_block mxtrace_block !mxtraceD. Qed.

Lemma ip_delta p q (i : 'I_p) (j : 'I_q) (M : 'M[F]_(p, q)) : ip (delta_mx i j) M = M i j.
Proof.
rewrite ip_sum (bigD1 j) //= (bigD1 i) //= big1 => [|i' ii]; last by rewrite mxE (negPf ii) mul0r.
rewrite big1 => [|j' jj]; first by rewrite mxE !eqxx mul1r !addr0.
by rewrite big1 // => i' _; rewrite mxE (negPf jj) andbF mul0r.
Qed.

Lemma ipDl p q (A B C : 'M[F]_(p, q)) : ip (A + B) C = ip A C + ip B C.
Proof. by rewrite ipC ipDr ![ip C _]ipC. Qed.
Lemma ipZl p q (A B : 'M[F]_(p, q)) a : ip (a *: A) B = a * ip A B.
Proof. by rewrite ipC ipZr ipC. Qed.
Lemma ipNl p q (A B : 'M[F]_(p, q)) : ip (- A) B = - ip A B.
Proof. by rewrite ipC ipNr ipC. Qed.
Lemma ip0l p q (B : 'M[F]_(p, q)) : ip 0 B = 0.
Proof. by rewrite /ip trmx0 mul0mx mxtrace0. Qed.
Lemma ip0r p q (B : 'M[F]_(p, q)) : ip B 0 = 0.
Proof. by rewrite ipC ip0l. Qed.

Lemma ipDD p q (A B : 'M[F]_(p, q)) : ip (A + B) (A + B) = ip A A + 2%:R * ip A B + ip B B.
Proof. by rewrite ipDl !ipDr [ip B A]ipC; move: (ip A A) (ip A B) (ip B B) => a b c; ring. Qed.

Lemma ipBB p q (A B : 'M[F]_(p, q)) : ip (A - B) (A - B) = ip A A - 2%:R * ip A B + ip B B.
Proof. by rewrite ipDD ipNl !ipNr; move: (ip A A) (ip A B) (ip B B) => a b c; ring. Qed.

Lemma cauchy p q (A B : 'M[F]_(p, q)) : ip A B ^+ 2 <= ip A A * ip B B.
Proof.
have [B0|B0] := eqVneq (ip B B) 0; first by rewrite (ip_eq0 B0) ip0r expr0n /= ip0r mulr0.
have Bp : 0 < ip B B by rewrite lt_def B0 ip_ge0.
rewrite -subr_ge0 -(pmulr_rge0 _ Bp); have := ip_ge0 (ip B B *: A - ip A B *: B).
rewrite ipBB !ipZl !ipZr; congr (0 <= _).
by move: (ip A A) (ip A B) (ip B B) => a b c; ring.
Qed.

(* the Frobenius norm bounds the operator norm *)
Lemma ip_mul p q (P : 'M[F]_(p, q)) (c : 'cV[F]_q) : ip (P *m c) (P *m c) <= ip P P * ip c c.
Proof.
have -> : ip P P = \sum_i ip (row i P)^T (row i P)^T.
  rewrite ip_sum exchange_big; apply: eq_bigr => i _; rewrite ip_sum big_ord1.
  by apply: eq_bigr => j _; rewrite !mxE.
rewrite ip_sum big_ord1 mulr_suml; apply: ler_sum => i _; apply: le_trans (cauchy _ _).
have -> : ip (row i P)^T c = (P *m c) i 0 by rewrite /ip trmxK trace_mx11 -row_mul mxE.
by rewrite expr2.
Qed.

(* the objective with data in any finite type *)
Lemma lora_sum (K : finType) m n (G : K -> 'M[F]_(m, n)) (y : K -> F) c lam r (u : 'M[F]_(m, r)) (v : 'M[F]_(n, r)) :
  lora (fun k : 'I_#|K| => G (enum_val k)) (fun k => y (enum_val k)) c lam u v =
  c / 2%:R * (\sum_k (ip (G k) (u *m v^T) - y k) ^+ 2) + lam / 2%:R * (ip u u + ip v v).
Proof. by rewrite /lora; congr (_ * _ + _); rewrite [RHS](reindex _ (onW_bij _ (enum_val_bij K))). Qed.

Lemma half_ge0 (a : F) : (0 <= a / 2%:R) = (0 <= a).
Proof. by rewrite pmulr_lge0 // invr_gt0 ltr0n. Qed.
End Basics.

(* ---------------------------------------------------------------- families B and C: lam > 0 *)
Section Corner.
Variables (F : realFieldType) (k : nat).
Notation r := k.+1.
Variables (X Y : 'M[F]_r) (a b : 'cV[F]_r).

(* what the last row of the factors adds to the objective, beyond 1/2 |X - Y|^2 *)
Definition corner : F := ip a a + ip b b - 5%:R / 2%:R * ip a b + ip (X *m b + Y *m a) (X *m b + Y *m a) / 4%:R.

Lemma corner_bound : ip (X + Y - 2%:R%:M) (X + Y - 2%:R%:M) <= 8%:R^-1 -> ip (X - Y) (X - Y) <= 8%:R^-1 ->
  (ip (a + b) (a + b) + ip (a - b) (a - b)) / 64%:R <= corner.
Proof.
set P := X + Y - _; set K := X - Y => hP hK; pose c := a + b; pose e := a - b; pose dl := P *m c - K *m e.
have h1 : ip (P *m c) (P *m c) <= 8%:R^-1 * ip c c by apply: le_trans (ip_mul _ _) _; rewrite ler_wpmul2r ?ip_ge0.
have h2 : ip (K *m e) (K *m e) <= 8%:R^-1 * ip e e by apply: le_trans (ip_mul _ _) _; rewrite ler_wpmul2r ?ip_ge0.
have h3 := ip_ge0 (P *m c + K *m e); have h4 := ip_ge0 (c + 2%:R *: dl).
have ZE : X *m b + Y *m a = 2%:R^-1 *: (2%:R *: c + dl).
  have -> : 2%:R *: c + dl = 2%:R *: (X *m b + Y *m a); last by rewrite scalerA mulVf ?scale1r // pnatr_eq0.
  rewrite /dl /P /K /c /e !(mulmxBl, mulmxDl, mulmxBr, mulmxDr) !mul_scalar_mx !scalerDr.
  by apply/colP=> i; rewrite !mxE; ring.
have aE : ip a a + ip b b - 5%:R / 2%:R * ip a b = 9%:R / 8%:R * ip e e - 8%:R^-1 * ip c c.
  by rewrite /c /e ipBB ipDD; move: (ip a a) (ip a b) (ip b b) => x y z; field.
have dE : ip dl dl = ip (P *m c) (P *m c) - 2%:R * ip (P *m c) (K *m e) + ip (K *m e) (K *m e) by apply: ipBB.
rewrite /corner ZE aE -/c -/e; clearbody c e dl P K.
move: h3 h4; rewrite !(ipDD, ipZl, ipZr) => h3 h4.
move: dE h1 h2 h3 h4 (ip_ge0 c) (ip_ge0 e).
move: (ip (P *m c) (K *m e)) (ip (K *m e) _) (ip (P *m c) _) (ip dl dl) (ip c dl) (ip c c) (ip e e) => s q p dd cd cc ee dE h1 h2 h3 h4 c0 e0.
rewrite -subr_ge0; set g := (X in 0 <= X).
have -> : g = (cc + 2%:R * (2%:R * cd) + 2%:R * (2%:R * dd)) / 16%:R + 3%:R / 16%:R * (p + 2%:R * s + q)
    + 3%:R / 8%:R * (8%:R^-1 * cc - p) + 3%:R / 8%:R * (8%:R^-1 * ee - q) + 17%:R / 16%:R * ee.
  by rewrite /g dE; field.
have pos i j : 0 <= i%:R / j%:R :> F by rewrite divr_ge0 ?ler0n.
by rewrite !addr_ge0 // mulr_ge0 ?subr_ge0 ?invr_ge0 ?ler0n.
Qed.
End Corner.
