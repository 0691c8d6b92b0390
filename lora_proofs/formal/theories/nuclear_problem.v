(* Theorem 3.1 for the problem with the nuclear norm, as the paper states it.

   The nuclear norm of E is sum_i sqrt(e_i), where e_i are the eigenvalues of E^T E (is_nuclear E N says that it is N).
   - nuclear_exists, nuclear_unique: it exists and is one number, for every m x n matrix, over any real closed field.
   - nuclear_least, nuclear_reached: it is half of the least |u|_F^2 + |v|_F^2 with u v^T = E.
   - factors_solve_nuclear, nuclear_solved_by_factors: so minimisers over factors of every width are minimisers of
     phi(A(delta)) + lam |delta|_*, and conversely.
   - theorem31_nuclear: if that problem has a minimiser, it has one of rank r with r(r+1)/2 <= d. Any loss phi of d linear
     functionals, convex or not; lam >= 0.
   - theorem31_tight: a refuted weakening, for every r: d = r(r+1)/2 functionals whose only minimisers have rank r.
   Differs from the print: nothing of the statement; the loss need not be convex or smooth, and the field is arbitrary. *)
From mathcomp Require Import all_ssreflect all_algebra.
From LoraProofs Require Import compat vectors spectral landscape existence.
Set Implicit Arguments. Unset Strict Implicit. Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Lemma inner_delta (F : realFieldType) p q (i : 'I_p) (j : 'I_q) (M : 'M[F]_(p, q)) : inner (delta_mx i j) M = M i j.
Proof.
rewrite inner_sum (bigD1 j) //= (bigD1 i) //= big1 => [|i' ii]; last by rewrite mxE (negPf ii) mul0r.
rewrite big1 => [|j' jj]; first by rewrite mxE !eqxx mul1r !addr0.
by rewrite big1 // => i' _; rewrite mxE (negPf jj) andbF mul0r.
Qed.

Section NuclearNorm.
Variables (F : rcfType) (m n : nat).
Implicit Types (E : 'M[F]_(m, n)) (W : 'M[F]_n) (e : 'rV[F]_n).

Definition is_nuclear E (N : F) := exists W e,
  [/\ W^T *m W = 1%:M, E^T *m E = W *m diag_mx e *m W^T & N = \sum_i Num.sqrt (e 0 i)].

Lemma nuclear_exists E : exists N, is_nuclear E N.
Proof.
have [|W [e [WW SE]]] := @LoraProofs.spectral.spectral F n (E^T *m E); first by rewrite trmx_mul trmxK.
by exists (\sum_i Num.sqrt (e 0 i)), W, e.
Qed.

(* the columns of E W are orthogonal, and their squares are e *)
Lemma columns E W e : W^T *m W = 1%:M -> E^T *m E = W *m diag_mx e *m W^T ->
  [/\ (E *m W)^T *m (E *m W) = diag_mx e, forall i, 0 <= e 0 i & forall i k, e 0 i = 0 -> (E *m W) k i = 0].
Proof.
move=> WW EE; have cc : (E *m W)^T *m (E *m W) = diag_mx e.
  by rewrite trmx_mul mulmxA -(mulmxA W^T) EE !mulmxA WW mul1mx -mulmxA WW mulmx1.
have eE i : e 0 i = \sum_k (E *m W) k i ^+ 2.
  move/matrixP/(_ i i): cc; rewrite !mxE eqxx mulr1n => <-; apply: eq_bigr => k _; by rewrite expr2 [in LHS]mxE.
split=> // [i|i k]; rewrite eE; first by apply: sumr_ge0 => k _; apply: sqr_ge0.
by move/psumr_eq0P => h; apply/eqP; rewrite -sqrf_eq0; apply/eqP/h => // l _; apply: sqr_ge0.
Qed.

Lemma bessel_partial p q r (U : 'M[F]_(p, q)) (u : 'M[F]_(p, r)) : U *m (U^T *m U) = U ->
  sqnorm (U^T *m u) <= sqnorm u.
Proof.
move=> UU; have := sqnorm_ge0 (u - U *m (U^T *m u)); rewrite sqnormB.
have -> : inner u (U *m (U^T *m u)) = sqnorm (U^T *m u) by rewrite /sqnorm /inner [in RHS]trmx_mul trmxK -[in RHS]mulmxA.
have -> : sqnorm (U *m (U^T *m u)) = sqnorm (U^T *m u).
  have UT : U^T *m (U *m (U^T *m u)) = U^T *m u.
    by rewrite !mulmxA; congr (_ *m u); rewrite -[in RHS]UU !trmx_mul trmxK.
  by rewrite /sqnorm /inner [(U *m _)^T]trmx_mul -mulmxA UT.
by rewrite mulr2n opprD addrA addrNK subr_ge0.
Qed.

Theorem nuclear_least E N r (u : 'M[F]_(m, r)) (v : 'M[F]_(n, r)) : is_nuclear E N -> u *m v^T = E ->
  N *+ 2 <= sqnorm u + sqnorm v.
Proof.
case=> W [e [WW EE ->]] uvE; have [cc e0 ez] := columns WW EE.
pose s : 'rV[F]_n := \row_i Num.sqrt (e 0 i); pose s' : 'rV[F]_n := \row_i (Num.sqrt (e 0 i))^-1.
pose U := E *m W *m diag_mx s'.
have UE : U^T *m (E *m W) = diag_mx s.
  rewrite /U trmx_mul tr_diag_mx -mulmxA cc mulmx_diag; congr diag_mx; apply/rowP=> i; rewrite !mxE.
  by rewrite -{2}(sqr_sqrtr (e0 i)) expr2; case: (eqVneq (Num.sqrt (e 0 i)) 0) => [->|n0]; rewrite ?invr0 ?mul0r // mulKf.
have UUU : U *m (U^T *m U) = U.
  rewrite -[X in U *m (_ *m X)]/(E *m W *m diag_mx s') (mulmxA U^T) UE mulmx_diag /U -(mulmxA (E *m W)) mulmx_diag; congr (_ *m diag_mx _); apply/rowP=> i; rewrite !mxE.
  by case: (eqVneq (Num.sqrt (e 0 i)) 0) => [->|n0]; rewrite ?invr0 ?mul0r // divff ?mulr1.
have -> : \sum_i Num.sqrt (e 0 i) = inner (U^T *m u) (W^T *m v).
  rewrite innerC /inner trmx_mul trmxK mxtrace_mulC -mulmxA (mulmxA u) uvE UE mxtrace_diag.
  by apply: eq_bigr => i _; rewrite mxE.
by apply: le_trans (inner_le _ _) _; apply: lerD; [apply: bessel_partial | apply: bessel].
Qed.

Theorem nuclear_reached E N : is_nuclear E N -> exists (u : 'M[F]_(m, n)) (v : 'M[F]_n),
  u *m v^T = E /\ sqnorm u + sqnorm v = N *+ 2.
Proof.
case=> W [e [WW EE ->]]; have [cc e0 ez] := columns WW EE; have WW' : W *m W^T = 1%:M by apply: mulmx1C.
pose t : 'rV[F]_n := \row_i Num.sqrt (Num.sqrt (e 0 i)); pose t' : 'rV[F]_n := \row_i (t 0 i)^-1.
have tt i : t 0 i ^+ 2 = Num.sqrt (e 0 i) by rewrite mxE sqr_sqrtr // sqrtr_ge0.
exists (E *m W *m diag_mx t'), (W *m diag_mx t); split.
  rewrite trmx_mul tr_diag_mx mulmxA -(mulmxA (E *m W)) mulmx_diag.
  suff -> : E *m W *m diag_mx (\row_i (t' 0 i * t 0 i)) = E *m W by rewrite -mulmxA WW' mulmx1.
  apply/matrixP=> k i; rewrite mul_mx_diag [LHS]mxE [in LHS]mxE [t' 0 i]mxE.
  have [ti|ti] := eqVneq (t 0 i) 0; last by rewrite mulVf ?mulr1.
  rewrite ti mulr0 mulr0 ez //; apply/eqP; rewrite eq_le e0 andbT -sqrtr_eq0 -tt ti expr0n //.
rewrite (sqnorm_orth _ WW) mulr2n; congr (_ + _).
  rewrite /sqnorm /inner trmx_mul tr_diag_mx mulmxA -(mulmxA (diag_mx t')) cc !mulmx_diag mxtrace_diag.
  apply: eq_bigr => i _; rewrite mxE [X in X * _]mxE [t' 0 i]mxE -[in RHS]tt.
  have -> : e 0 i = t 0 i ^+ 2 * t 0 i ^+ 2 by rewrite tt -expr2 sqr_sqrtr.
  have [->|ti] := eqVneq (t 0 i) 0; first by rewrite invr0 !mul0r expr0n.
  by rewrite [t 0 i ^+ 2]expr2 !mulrA mulVf // mul1r mulfK.
rewrite /sqnorm /inner tr_diag_mx mulmx_diag mxtrace_diag; apply: eq_bigr => i _.
by rewrite mxE -expr2 tt.
Qed.
End NuclearNorm.

Section Problem.
Variables (F : rcfType) (m n d : nat) (G : 'I_d -> 'M[F]_(m, n)) (phi : 'rV[F]_d -> F) (lam : F).
Hypothesis lam_ge0 : 0 <= lam.

Lemma nuclear_unique (E : 'M[F]_(m, n)) N N' : is_nuclear E N -> is_nuclear E N' -> N = N'.
Proof.
move=> h h'; have [u [v [uv e]]] := nuclear_reached h; have [u' [v' [uv' e']]] := nuclear_reached h'.
have := nuclear_least h uv'; have := nuclear_least h' uv; rewrite e e' !lerMn2r /= => le1 le2.
by apply/eqP; rewrite eq_le le1 le2.
Qed.

(* lam/2 (|u|^2 + |v|^2): LoRA's objective; lam |delta|_*: that of full fine-tuning *)
Let lora r (u : 'M[F]_(m, r)) (v : 'M[F]_(n, r)) := risk G phi (lam / 2%:R) u v.
Definition full (E : 'M[F]_(m, n)) (N : F) := phi (feat G E) + lam * N.

Lemma full_below r (u : 'M[F]_(m, r)) (v : 'M[F]_(n, r)) N : is_nuclear (u *m v^T) N -> full (u *m v^T) N <= lora u v.
Proof.
move=> h; rewrite /full /lora /risk lerD2l -mulrA ler_wpM2l // mulrC ler_pdivlMr ?ltr0n // mulr_natr.
exact: nuclear_least h _.
Qed.

Lemma full_reached E N : is_nuclear E N -> exists (u : 'M[F]_(m, n)) (v : 'M[F]_n), u *m v^T = E /\ lora u v = full E N.
Proof.
case/nuclear_reached=> u [v [uv e]]; exists u, v; split=> //.
have e2 : inner u u + inner v v = 2%:R * N by rewrite mulr_natl -e.
by rewrite /lora /risk /full uv e2 mulrA divfK ?pnatr_eq0.
Qed.

(* minimisers over factors of every width are minimisers of the problem with the nuclear norm *)
Theorem factors_solve_nuclear r (u : 'M[F]_(m, r)) (v : 'M[F]_(n, r)) N : is_nuclear (u *m v^T) N ->
  (forall r' (u' : 'M[F]_(m, r')) (v' : 'M[F]_(n, r')), lora u v <= lora u' v') ->
  forall E N', is_nuclear E N' -> full (u *m v^T) N <= full E N'.
Proof.
move=> h opt E N' h'; have [u' [v' [_ <-]]] := full_reached h'.
exact: le_trans (full_below h) (opt _ u' v').
Qed.

(* and conversely, by balanced factors *)
Theorem nuclear_solved_by_factors E N : is_nuclear E N -> (forall E' N', is_nuclear E' N' -> full E N <= full E' N') ->
  exists (u : 'M[F]_(m, n)) (v : 'M[F]_n), [/\ u *m v^T = E, lora u v = full E N &
    forall r (u' : 'M[F]_(m, r)) (v' : 'M[F]_(n, r)), lora u v <= lora u' v'].
Proof.
move=> h opt; have [u [v [uv e]]] := full_reached h; exists u, v; split=> // r u' v'; rewrite e.
by have [N' h'] := nuclear_exists (u' *m v'^T); apply: le_trans (opt _ _ h') (full_below h').
Qed.

(* Theorem 3.1 *)
Theorem theorem31_nuclear E N : is_nuclear E N -> (forall E' N', is_nuclear E' N' -> full E N <= full E' N') ->
  exists E1 N1, [/\ is_nuclear E1 N1, forall E' N', is_nuclear E' N' -> full E1 N1 <= full E' N' & ('C((\rank E1).+1, 2) <= d)%N].
Proof.
move=> h opt; have [u [v [_ e optf]]] := nuclear_solved_by_factors h opt.
have [r [u1 [v1 [rd e1]]]] := theorem31_full optf; have [N1 h1] := nuclear_exists (u1 *m v1^T).
exists (u1 *m v1^T), N1; split=> // [E' N' h'|].
  by apply: le_trans (full_below h1) _; rewrite /lora e1 -/(lora u v) e opt.
apply: leq_trans rd; apply: leq_bin2l; rewrite ltnS.
exact: leq_trans (mxrankM_maxl _ _) (rank_leq_col _).
Qed.
End Problem.

(* a refuted weakening: no smaller rank in Theorem 3.1, at any r; lam = 0, the symmetric parts as functionals *)
Theorem theorem31_tight (F : rcfType) r : exists (G : 'I_('C(r.+1, 2)) -> 'M[F]_r) phi,
  (exists E N, is_nuclear E N /\ forall E' N', is_nuclear E' N' -> full G phi 0 E N <= full G phi 0 E' N') /\
  forall E N, (forall E' N', is_nuclear E' N' -> full G phi 0 E N <= full G phi 0 E' N') -> \rank E = r.
Proof.
rewrite -(card_upper r); pose G (q : 'I_#|{: {p : 'I_r * 'I_r | (p.1 <= p.2)%N}}|) : 'M[F]_r :=
  delta_mx (val (enum_val q)).1 (val (enum_val q)).2 + delta_mx (val (enum_val q)).2 (val (enum_val q)).1.
pose phi w := sqnorm (w - feat G 1%:M); exists G, phi.
have [N1 h1] := nuclear_exists (1%:M : 'M[F]_r); have full1 N : full G phi 0 1%:M N = 0.
  by rewrite /full /phi subrr sqnorm0 mul0r addr0.
split=> [|E N opt].
  by exists 1%:M, N1; split=> // E' N' _; rewrite full1 /full mul0r addr0 sqnorm_ge0.
have fE : feat G E = feat G 1%:M.
  apply/eqP; rewrite -subr_eq0 -sqnorm_eq0 eq_le sqnorm_ge0 andbT.
  by have := opt _ _ h1; rewrite full1 /full mul0r addr0.
have EE : E + E^T = 1%:M + 1%:M.
  suff up (i j : 'I_r) : (i <= j)%N -> (E + E^T) i j = (1%:M + 1%:M : 'M[F]_r) i j.
    apply/matrixP=> i j; case: (leqP i j) => [/up//|/ltnW/up]; rewrite !mxE [E j i + _]addrC => ->.
    by rewrite [j == i]eq_sym.
  move=> ij; pose p : {p : 'I_r * 'I_r | (p.1 <= p.2)%N} := exist _ (i, j) ij.
  move/rowP/(_ (enum_rank p)): fE; rewrite !mxE /G enum_rankK !innerDl !inner_delta /= !mxE => ->.
  by rewrite [j == i]eq_sym.
apply/eqP; rewrite eqn_leq rank_leq_row /= leqNgt; apply/negP=> lt.
have : kermx E != 0 by rewrite -mxrank_eq0 mxrank_ker subn_eq0 -ltnNge.
case/rowV0Pn=> x /sub_kermxP xE x0.
have : x *m (E + E^T) *m x^T = 0.
  rewrite mulmxDr mulmxDl xE mul0mx add0r; apply: trmx_inj.
  by rewrite !trmx_mul !trmxK mulmxA xE mul0mx trmx0.
rewrite EE mulmxDr mulmx1 mulmxDl -mulr2n => /matrixP/(_ 0 0); rewrite [RHS]mxE mulmxnE => /eqP.
rewrite mulrn_eq0 /= -[_ 0 0](trace_mx11) mxtrace_mulC -/(inner x x) sqnorm_eq0 (negPf x0) //.
Qed.
