(* Lemma 1 of Zeng & Lee in the Frobenius norm: the least |f - target|_F^2 over adapters of ranks R_1, ..., R_L is the sum of the squared singular
   values of E = target - product of the frozen layers after the first R_1 + ... + R_L, and it is attained.

   [frobenius_eckart_young]  every matrix of rank at most k is at least the tail of the squared singular values away.
     says: for every A of rank at most k, |E - A|_F^2 >= sum of the sigma_i^2 with i > k.
     differs: nothing; over any real field, the singular value decomposition given.
   [lemma1_frobenius]  the least Frobenius error of a linear model with a rank for each layer.
     says: W_l non-singular: adapters of ranks at most R_l attain |prod(W_l + D_l) - target|_F^2 = sum of sigma_i^2 with i > R_1 + ... + R_L, and none does better.
     differs: real closed fields; no condition on truncations of E; the paper has the spectral norm.
   [frobenius_not_spectral] refuted weakening: the squared spectral value sigma_{k+1}^2 alone is not attained in the Frobenius norm. *)
From mathcomp Require Import all_ssreflect all_algebra.
From LoraProofs Require Import compat vectors chain spectral svd.
Set Implicit Arguments. Unset Strict Implicit. Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Kernel.
Variables (F : realFieldType).

(* a Gram matrix of independent rows is invertible over a real field *)
Lemma gram_unit r n (R : 'M[F]_(r, n)) : row_free R -> R *m R^T \in unitmx.
Proof.
move=> Rf; rewrite -row_free_unit; apply/inj_row_free => v vRR.
have : inner ((v *m R)^T) ((v *m R)^T) = 0.
  by rewrite /inner trmxK trmx_mul -mulmxA (mulmxA R) (mulmxA v) vRR mul0mx mxtrace0.
by move/ip_eq0/(congr1 trmx); rewrite trmxK trmx0 => vR; apply/eqP; rewrite -(mulmx_free_eq0 _ Rf) vR eqxx.
Qed.

(* the orthogonal projection onto the kernel of A *)
Lemma kernel_projection m n (A : 'M[F]_(m, n)) :
  exists P : 'M[F]_n, [/\ P^T = P, P *m P = P, A *m P = 0 & \tr P = n%:R - (\rank A)%:R].
Proof.
pose R := row_base A; pose K := invmx (R *m R^T).
have Ku : R *m R^T \in unitmx by apply: gram_unit; apply: row_base_free.
have Kt : K^T = K by rewrite /K trmx_inv trmx_mul trmxK.
have RRK : R *m R^T *m K = 1%:M by rewrite mulmxV.
have defA : A = col_base A *m R by rewrite mulmx_base.
clearbody K R; pose Q := R^T *m K *m R.
have Qt : Q^T = Q by rewrite /Q !trmx_mul trmxK Kt mulmxA.
have RQ : R *m Q = R by rewrite /Q !mulmxA RRK mul1mx.
have QQ : Q *m Q = Q by rewrite {1}/Q -(mulmxA _ R) RQ.
have trQ : \tr Q = (\rank A)%:R by rewrite /Q -mulmxA mxtrace_mulC -mulmxA mxtrace_mulC RRK mxtrace1.
clearbody Q.
exists (1%:M - Q); split.
- by apply/matrixP=> i j; rewrite -{1}Qt !mxE eq_sym.
- by rewrite mulmxBr mulmx1 mulmxBl mul1mx QQ subrr subr0.
- by rewrite mulmxBr mulmx1 {2}defA -mulmxA RQ -defA subrr.
by rewrite raddfB /= mxtrace1 trQ.
Qed.

Lemma projection_diag n (G : 'M[F]_n) i : G^T = G -> G *m G = G -> 0 <= G i i <= 1.
Proof.
move=> Gt GG; have sqnorm : G i i = \sum_j G i j ^+ 2.
  by rewrite -{1}GG mxE; apply: eq_bigr => j _; rewrite expr2 -{2}Gt [G^T _ _]mxE.
have G2 : G i i ^+ 2 <= G i i.
  by rewrite {2}sqnorm (bigD1 i) //= -subr_ge0 addrAC subrr add0r sumr_ge0 // => j _; rewrite sqr_ge0.
have G0 : 0 <= G i i by rewrite sqnorm sumr_ge0 // => j _; rewrite sqr_ge0.
rewrite G0 leNgt; apply/negP=> G1; move: G2; rewrite leNgt => /negP; apply.
by rewrite expr2 -subr_gt0 -{3}[G i i]mulr1 -mulrBr mulr_gt0 ?subr_gt0 // (lt_trans ltr01).
Qed.

Lemma count_tail n k : (\sum_(i < n) (k <= i)%N = n - k)%N.
Proof.
elim: n => [|n IH]; first by rewrite big_ord0.
rewrite big_ord_recr IH /=; case: leqP => kn; first by rewrite subSn // addn1.
have /eqP -> : (n - k == 0)%N by rewrite subn_eq0 ltnW.
by apply/esym/eqP; rewrite subn_eq0.
Qed.

(* of all weights p in [0, 1] with total at least n - k, the sum of d_i p_i is least on the last n - k, if d decreases *)
Lemma tail_least n k (d p : 'I_n -> F) : (forall i, 0 <= d i) -> (forall i j : 'I_n, (i <= j)%N -> d j <= d i) ->
  (forall i, 0 <= p i <= 1) -> n%:R - k%:R <= \sum_i p i -> \sum_(i < n | (k <= i)%N) d i <= \sum_i d i * p i.
Proof.
move=> d0 dd p01 sp; case: (leqP n k) => [nk|kn].
  rewrite [X in X <= _](_ : _ = 0); last first.
    by apply: big1 => i; rewrite leqNgt (leq_trans (ltn_ord i) nk).
  by apply: sumr_ge0 => i _; case/andP: (p01 i) => ? _; rewrite mulr_ge0.
pose c := d (Ordinal kn); pose q (i : 'I_n) : F := (k <= i)%:R.
have -> : \sum_(i < n | (k <= i)%N) d i = \sum_i d i * q i.
  by rewrite big_mkcond; apply: eq_bigr => i _; rewrite /q; case: leqP; rewrite ?mulr1 ?mulr0.
have sqnorm : \sum_i q i = n%:R - k%:R.
  by rewrite -natrB ?(ltnW kn) // -count_tail natr_sum.
rewrite -subr_ge0 -sumrB; apply: le_trans (_ : c * (\sum_i p i - \sum_i q i) <= _).
  by rewrite mulr_ge0 ?d0 // subr_ge0 sqnorm.
rewrite -sumrB mulr_sumr; apply: ler_sum => i _; rewrite -mulrBr -subr_ge0 -mulrBl.
case/andP: (p01 i) => p0 p1; rewrite /q; case: leqP => ki.
  by rewrite -mulrNN mulr_ge0 // opprB subr_ge0 //; apply: dd.
by rewrite subr0 mulr_ge0 // subr_ge0; apply: dd; apply: ltnW.
Qed.
End Kernel.

Section Frobenius.
Variables (F : realFieldType) (n : nat).
Implicit Types (Ws Ds : seq 'M[F]_n) (E U V A T : 'M[F]_n) (d : 'rV[F]_n).

(* the squared singular values after the first k *)
Definition tail d k : F := \sum_(i < n | (k <= i)%N) d 0 i ^+ 2.

Lemma project_shorter (X P : 'M[F]_n) : P^T = P -> P *m P = P -> inner (X *m P) (X *m P) <= inner X X.
Proof.
move=> Pt PP; have e : inner X (X *m P) = inner (X *m P) (X *m P).
  by rewrite /inner trmx_mul Pt -[P *m _ *m _]mulmxA [RHS]mxtrace_mulC -!mulmxA PP.
have := ip_ge0 (X - X *m P); rewrite innerBr ![inner (X - _) _]innerC !innerBr -e [inner (X *m P) X]innerC subrr subr0.
by rewrite subr_ge0.
Qed.

Lemma frobenius_diag E U d V P : is_svd E U d V -> P^T = P -> P *m P = P ->
  inner (E *m P) (E *m P) = \sum_i d 0 i ^+ 2 * (V^T *m P *m V) i i.
Proof.
case=> -> UU VV _ _ Pt PP; set D := diag_mx d.
have -> : inner (U *m D *m V^T *m P) (U *m D *m V^T *m P) = \tr (D *m D *m (V^T *m P *m V)).
  rewrite /inner !trmx_mul trmxK tr_diag_mx Pt !mulmxA -(mulmxA _ U^T) UU mulmx1.
  by rewrite mxtrace_mulC !mulmxA PP -!mulmxA mxtrace_mulC -!mulmxA mxtrace_mulC -!mulmxA.
rewrite mulmx_diag /mxtrace; apply: eq_bigr => i _; by rewrite mul_diag_mx !mxE expr2.
Qed.

Theorem frobenius_eckart_young E U d V A k : is_svd E U d V -> (\rank A <= k)%N -> tail d k <= inner (E - A) (E - A).
Proof.
move=> svdE Ak; have [P [Pt PP AP trP]] := kernel_projection A.
apply: le_trans (project_shorter (E - A) Pt PP); rewrite mulmxBl AP subr0 (frobenius_diag svdE Pt PP).
case: svdE => _ _ VV d0 dd; have VV' : V *m V^T = 1%:M by apply: mulmx1C.
apply: tail_least => [i|i j ij|i|]; first exact: sqr_ge0.
- by rewrite ler_sq ?d0 ?dd.
- apply: projection_diag; first by rewrite !trmx_mul trmxK Pt mulmxA.
  by rewrite -!mulmxA (mulmxA V) VV' mul1mx (mulmxA P) PP.
rewrite -/(\tr (V^T *m P *m V)) mxtrace_mulC mulmxA VV' mul1mx trP.
by rewrite lerD2l lerN2 ler_nat.
Qed.

(* the truncation attains it *)
Lemma frobenius_trunc E U d V k (A := U *m diag_mx (trunc d k) *m V^T) : is_svd E U d V -> inner (E - A) (E - A) = tail d k.
Proof.
case=> -> UU VV _ _; rewrite /A -mulmxBl -mulmxBr -raddfB /=; set c := d - _.
have -> : inner (U *m diag_mx c *m V^T) (U *m diag_mx c *m V^T) = \tr (diag_mx c *m diag_mx c).
  rewrite /inner !trmx_mul trmxK tr_diag_mx !mulmxA -(mulmxA _ U^T) UU mulmx1.
  by rewrite mxtrace_mulC !mulmxA VV mul1mx.
rewrite mulmx_diag mxtrace_diag /tail [RHS]big_mkcond; apply: eq_bigr => i _; rewrite !mxE expr2.
by rewrite ltnNge; case: leqP => _; rewrite /= ?subr0 // subrr mulr0.
Qed.
End Frobenius.

(* Lemma 1 in the Frobenius norm, a rank for each layer *)
Theorem lemma1_frobenius (F : rcfType) n (Ws : seq 'M[F]_n) (Rs : seq nat) (T : 'M[F]_n) :
  size Ws = size Rs -> all (fun W => W \in unitmx) Ws ->
  exists2 d : 'rV[F]_n, exists U V, is_svd (T - chain Ws) U d V &
  (exists2 Ds, ranks_le Ds Rs & inner (T - chain (adapted Ws Ds)) (T - chain (adapted Ws Ds)) = tail d (sumn Rs)) /\
  (forall Ds, ranks_le Ds Rs -> tail d (sumn Rs) <= inner (T - chain (adapted Ws Ds)) (T - chain (adapted Ws Ds))).
Proof.
move=> sz Wsu; have [U [d [V svdE]]] := svd_exists (T - chain Ws); exists d; first by exists U, V.
split=> [|Ds Dr].
  pose A := U *m diag_mx (trunc d (sumn Rs)) *m V^T.
  have [|Ds Dr defT] := @lemma1_exists F n Ws Rs (chain Ws + A) sz Wsu.
    by rewrite addrC addKr; apply: rank_trunc.
  by exists Ds => //; rewrite defT opprD addrA -/A frobenius_trunc.
have -> : T - chain (adapted Ws Ds) = T - chain Ws - (chain (adapted Ws Ds) - chain Ws).
  by rewrite opprB addrA subrK.
apply: frobenius_eckart_young svdE _; apply: leq_trans (rank_change _) (ranks_le_sum Dr).
by rewrite sz (ranks_le_size Dr).
Qed.

(* refuted: with one singular value instead of the sum of all that are left it is not attained *)
Theorem frobenius_not_spectral (F : rcfType) : exists (E : 'M[F]_2) U d V, is_svd E U d V /\
  forall A : 'M[F]_2, (\rank A <= 0)%N -> sigma d 0 ^+ 2 < inner (E - A) (E - A).
Proof.
exists 1%:M, 1%:M, (const_mx 1), 1%:M; split.
  split; rewrite ?trmx1 ?mulmx1 //; last by move=> i j _; rewrite !mxE.
    by rewrite mul1mx; apply/matrixP=> i j; rewrite !mxE.
  by move=> i; rewrite mxE ler01.
move=> A; rewrite leqn0 mxrank_eq0 => /eqP ->; rewrite subr0 /inner trmx1 mulmx1 mxtrace1 /sigma insubT /= mxE expr1n.
by rewrite ltr1n.
Qed.
