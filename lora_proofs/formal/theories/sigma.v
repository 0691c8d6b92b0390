(* The counter-example to the constant |Sigma|_F in Lemma 2 of Zeng & Lee as recalled, in every dimension n and for every rank R with n < (n - R)^2.

   [sigma_counterexample]
     says: x uniform on the 2^n vertices of the cube, so Sigma = I and |Sigma|_F = n^(1/2); frozen W_1 = I, target relu(2 x + c 1) with c large: all adapters
       of rank at most R and all biases have E|f - fbar|^2 >= n - R, though the recalled bound is |Sigma|_F sigma_{R+1}^2 = n^(1/2), which is smaller.
     differs: one layer; for n = 3, R = 1 it is the example of the check with c = 10 replaced by any larger one. *)
From mathcomp Require Import all_ssreflect all_algebra.
From LoraProofs Require Import compat vectors chain relu spectral svd frobenius.
Set Implicit Arguments. Unset Strict Implicit. Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Cube.
Variables (F : realFieldType) (n : nat).
Definition vertex := {ffun 'I_n -> bool}.
Definition point (v : vertex) : 'cV[F]_n := \col_i (-1) ^+ v i.
Definition cube_sum (g : vertex -> F) : F := \sum_v g v.

Definition flip (k : 'I_n) (v : vertex) : vertex := [ffun i => v i (+) (i == k)].
Lemma flipK k : involutive (flip k).
Proof. by move=> v; apply/ffunP=> i; rewrite !ffunE -addbA addbb addbF. Qed.

(* a function that changes its sign with coordinate k sums to 0 *)
Lemma odd_sum k (g : vertex -> F) : (forall v, g (flip k v) = - g v) -> cube_sum g = 0.
Proof.
move=> h; have e : cube_sum g = - cube_sum g.
  by rewrite {1}/cube_sum (reindex_inj (inv_inj (flipK k))) -sumrN; apply: eq_bigr.
by apply/eqP; have := mulrn_eq0 (cube_sum g) 2; rewrite mulr2n {2}e subrr eqxx => /esym.
Qed.

Lemma point_flip k v i : point (flip k v) i 0 = if i == k then - point v i 0 else point v i 0.
Proof. by rewrite !mxE ffunE signr_addb; case: (i == k); rewrite ?mulrN1 ?mulr1. Qed.

Lemma point_sqr v i : point v i 0 * point v i 0 = 1.
Proof. by rewrite mxE -expr2 sqrr_sign. Qed.

Lemma moment_cube i j : cube_sum (fun v => point v i 0 * point v j 0) = (i == j)%:R *+ #|{: vertex}|.
Proof.
case: eqVneq => [->|ij]; last first.
  by rewrite (@odd_sum i) ?mul0rn // => v; rewrite !point_flip eqxx [j == i]eq_sym (negPf ij) mulNr.
by rewrite /cube_sum (eq_bigr (fun=> 1)) ?sumr_const // => v _; rewrite point_sqr.
Qed.

Lemma mean_cube i : cube_sum (fun v => point v i 0) = 0.
Proof. by apply: (@odd_sum i) => v; rewrite point_flip eqxx. Qed.

(* E|M x + b|^2 = |M|_F^2 + |b|^2 >= |M|_F^2 *)
Lemma affine_cube (M : 'M[F]_n) b : cube_sum (fun v => sqnorm (M *m point v + b)) = (inner M M + sqnorm b) *+ #|{: vertex}|.
Proof.
have -> : inner M M = \sum_i \sum_j M i j * M i j by rewrite inner_sum exchange_big.
rewrite /cube_sum (sqnorm_col b) (eq_bigr _ (fun v _ => sqnorm_col _)) exchange_big -big_split -sumrMnl /=; apply: eq_bigr => i _ /=; rewrite mulrnDl.
rewrite (eq_bigr (fun v => \sum_j \sum_k (M i j * M i k) * (point v j 0 * point v k 0)
   + ((\sum_j M i j * point v j 0) * b i 0) *+ 2 + b i 0 ^+ 2)) => [|v _]; last first.
  rewrite mxE sqrrD mxE; congr (_ + _ + _); rewrite expr2 mulr_suml; apply: eq_bigr => j _.
  by rewrite mulr_sumr; apply: eq_bigr => k _; rewrite mulrACA.
have mean j : \sum_(v : vertex) point v j 0 = 0 by apply: mean_cube.
have second j k : \sum_(v : vertex) point v j 0 * point v k 0 = (j == k)%:R *+ #|{: vertex}| by apply: moment_cube.
have odd0 : \sum_(v : vertex) (\sum_j M i j * point v j 0) * b i 0 = 0.
  rewrite -mulr_suml exchange_big big1 ?mul0r //= => j _; by rewrite -mulr_sumr mean mulr0.
rewrite !big_split /= sumr_const odd0 !addr0; congr (_ + _).
rewrite exchange_big /= -sumrMnl; apply: eq_bigr => j _.
rewrite exchange_big /= (bigD1 j) //= -mulr_sumr second eqxx mulrnAr mulr1 big1 ?addr0 // => k kj.
by rewrite -mulr_sumr second eq_sym (negPf kj) mul0rn mulr0.
Qed.
End Cube.

Section Counterexample.
Variables (F : rcfType) (n : nat).

(* every matrix of rank at most R is at least n - R from the identity, squared *)
Lemma identity_far (A : 'M[F]_n) R : (\rank A <= R)%N -> (n - R)%:R <= inner (1%:M - A) (1%:M - A).
Proof.
move=> rA; have svdI : @is_svd F n 1%:M 1%:M (const_mx 1) 1%:M.
  split; rewrite ?trmx1 ?mulmx1 //; last by move=> i j _; rewrite !mxE.
    by rewrite mul1mx; apply/matrixP=> i j; rewrite !mxE.
  by move=> i; rewrite mxE ler01.
apply: le_trans (frobenius_eckart_young svdI rA); rewrite /tail -count_tail natr_sum [X in _ <= X]big_mkcond.
by apply: ler_sum => i _; rewrite mxE expr1n; case: leqP.
Qed.

Let N := #|{: vertex n}|%:R : F.
(* so large that one inactive neuron at one vertex costs more *)
Definition shift : F := 2%:R + n%:R * N + 1.

Theorem sigma_counterexample R (D : 'M[F]_n) (b : 'cV[F]_n) : (\rank D <= R)%N ->
  (n - R)%:R <= N^-1 * cube_sum (fun v => sqnorm (relu ((1%:M + D) *m point F v + b) - relu (2%:R%:M *m point F v + const_mx shift))).
Proof.
move=> rD; have N0 : 0 < N by rewrite ltr0n; apply/card_gt0P; exists [ffun=> false].
pose f v : 'cV[F]_n := (1%:M + D) *m point F v + b; pose g v : 'cV[F]_n := 2%:R%:M *m point F v + const_mx shift.
rewrite -/(cube_sum (fun v => sqnorm (relu (f v) - relu (g v)))).
have gE v i : n%:R * N + 1 <= g v i 0.
  have s1 : - 1 <= (-1) ^+ v i :> F by case: (v i); rewrite ?expr1 ?expr0 // (le_trans _ ler01) // oppr_le0 ler01.
  rewrite /g /shift mul_scalar_mx !mxE -(addrA 2%:R) [2%:R * _ + _]addrA ler_addr.
  by rewrite -[X in _ + X]mulr1 -mulrDr mulr_ge0 ?ler0n // -lerBlDr sub0r.
have gid v : relu (g v) = g v.
  by apply: relu_id => i; apply: le_trans (gE v i); rewrite addr_ge0 ?ler01 // mulr_ge0 ?ler0n.
rewrite ler_pdivl_mull //.
case: (boolP [exists v, [exists i, f v i 0 < 0]]) => [/existsP[v /existsP[i fi]]|].
  rewrite /cube_sum (bigD1 v) //=; apply: ler_paddr; first by apply: sumr_ge0 => w _; apply: sqnorm_ge0.
  rewrite sqnorm_col (bigD1 i) //=; apply: ler_paddr; first by apply: sumr_ge0 => k _; apply: sqr_ge0.
  have -> : (relu (f v) - relu (g v)) i 0 = - g v i 0.
    by rewrite gid mxE [relu (f v) i 0]mxE [(- g v) i 0]mxE (max_idPl (ltW fi)) sub0r.
  rewrite sqrrN.
  have t1 : 1 <= n%:R * N + 1 by rewrite ler_addr mulr_ge0 ?ler0n.
  apply: le_trans (_ : (n%:R * N + 1) ^+ 2 <= _); last first.
    by rewrite ler_pexpn2r ?nnegrE ?(le_trans ler01 t1) ?(le_trans (le_trans ler01 t1) (gE v i)).
  apply: le_trans (_ : n%:R * N + 1 <= _); last by rewrite expr2 ler_peMr // (le_trans ler01 t1).
  apply: le_trans (_ : n%:R * N <= _); last by rewrite lerDl ler01.
  by rewrite mulrC ler_wpM2r ?(ltW N0) // ler_nat leq_subr.
rewrite negb_exists => /forallP h; have fid v : relu (f v) = f v.
  by apply: relu_id => i; move: (h v); rewrite negb_exists => /forallP/(_ i); rewrite -leNgt.
have -> : cube_sum (fun v => sqnorm (relu (f v) - relu (g v)))
    = cube_sum (fun v => sqnorm ((D - 1%:M) *m point F v + (b - const_mx shift))).
  apply: eq_bigr => v _; rewrite fid gid /f /g opprD addrACA; congr (sqnorm (_ + _)).
  by rewrite -mulmxBl; congr (_ *m _); rewrite mulr2n raddfD /= opprD addrA [1%:M + D]addrC addrK.
rewrite affine_cube -[X in _ <= X]mulr_natl; apply: ler_wpM2l; first exact: ltW N0.
apply: le_trans (identity_far rD) _; rewrite ler_paddr ?sqnorm_ge0 //.
by rewrite -[D - 1%:M]opprB innerNr innerC innerNr opprK.
Qed.

(* with n < (n - R)^2 the recalled bound |Sigma|_F = n^(1/2) times sigma_(R+1)^2 = 1 is smaller than what is left *)
Lemma sigma_recalled R : (n < (n - R) ^ 2)%N -> Num.sqrt (n%:R : F) < (n - R)%:R.
Proof.
by move=> h; rewrite -(ger0_norm (ler0n F (n - R))) -sqrtr_sqr ltr_sqrt -?natrX ?ltr_nat ?ltr0n // (leq_ltn_trans _ h).
Qed.
End Counterexample.
