(** * Singular values: existence, Eckart and Young, Lemma 1 with norms

    [is_svd E U d V] says that E = U diag(d) V^T with orthogonal U, V and d
    nonnegative and nonincreasing; [sigma d k] is the singular value number k + 1,
    zero from the size of the matrix on.

    - [svd_exists]: every square matrix has a singular value decomposition.
      differs: over every real closed field.
    - [eckart_young]: a matrix A of rank at most k is at least sigma_(k+1) away
      from E: |(E - A) x| >= sigma_(k+1) |x| for some x <> 0.
      differs: the textbook's bound in the spectral norm, which is said with a vector
      that attains it; any ordered field, the decomposition being given.
    - [lemma1_attained], [lemma1_lower], [lemma1_norm]: Lemma 1 of Zeng and Lee with
      norms.  With nonsingular frozen layers and E = T - chain Ws, adapters of ranks
      R_1, ..., R_L bring the chain to within sigma_(1 + sum R) of T, and no adapters
      whose ranks add up to k come closer than sigma_(1 + k).
      differs: a rank for every layer instead of one R; no condition on truncations of
      E; |.| <= sigma is said of every vector, >= sigma of one vector, so that no
      operator norm has to be defined; every real closed field. *)
From mathcomp Require Import all_ssreflect all_algebra.
From LoraProofs Require Import compat vectors chain spectral.
Set Implicit Arguments. Unset Strict Implicit. Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section SVD.
Variables (F : realFieldType) (n : nat).
Implicit Types (Ws Ds : seq 'M[F]_n) (d : 'rV[F]_n) (E U V A : 'M[F]_n).

(* E = U diag(d) V^T with U, V orthogonal and d nonnegative and nonincreasing *)
Definition is_svd E U d V := [/\ E = U *m diag_mx d *m V^T, U^T *m U = 1%:M, V^T *m V = 1%:M,
  forall i, 0 <= d 0 i & forall i j : 'I_n, (i <= j)%N -> d 0 j <= d 0 i].

(* sigma d k is the (k+1)-st singular value, 0 when k >= n *)
Definition sigma d k : F := oapp (d 0) 0 (insub k).

(* Eckart-Young, lower bound *)
Lemma eckart_young E U d V A k : is_svd E U d V -> (\rank A <= k)%N -> (k < n)%N ->
  exists2 x : 'cV[F]_n, x != 0 & sigma d k ^+ 2 * sqnorm x <= sqnorm ((E - A) *m x).
Proof.
case=> -> UU VV d0 dd Ak kn; pose B := A *m V.
have Br : (\rank B <= k)%N by apply: leq_trans (mxrankM_maxl _ _) Ak.
have : ((pid_mx k.+1 : 'M[F]_n) :&: kermx B^T)%MS != 0.
  rewrite -mxrank_eq0 -lt0n -(ltn_add2l (\rank ((pid_mx k.+1 : 'M[F]_n) + kermx B^T)%MS)) addn0 mxrank_sum_cap.
  rewrite mxrank_ker mxrank_tr rank_pid_mx //; apply: leq_ltn_trans (rank_leq_col _) _.
  by rewrite addnBA ?rank_leq_row // ltn_subRL ltn_add2r ltnS.
case/rowV0Pn=> z; rewrite sub_capmx => /andP[zp /sub_kermxP zB] z0.
have zi (i : 'I_n) : (k < i)%N -> z 0 i = 0.
  case/submxP: zp => w ->; rewrite mxE => ki; apply: big1 => j _.
  rewrite mxE; case: eqP => [ji|]; rewrite ?mulr0 //= ltnS leqNgt.
  by rewrite [val j]ji ki mulr0.
have x0 : V *m z^T != 0.
  by rewrite -sqnorm_eq0 sqnorm_orth // sqnorm_eq0 -trmx_eq0 trmxK.
exists (V *m z^T) => //; rewrite sqnorm_orth // mulmxBl mulmxA -!mulmxA (mulmxA V^T) VV mul1mx.
have -> : A *m (V *m z^T) = 0 by rewrite mulmxA -[_ *m _]trmxK trmx_mul trmxK zB trmx0.
rewrite subr0 sqnorm_orth // !sqnorm_col mulr_sumr; apply: ler_sum => i _.
rewrite mul_diag_mx !mxE exprMn /sigma insubT /=.
case: (ltnP k i) => [/zi->|ik]; first by rewrite expr0n !mulr0.
by rewrite ler_wpM2r ?sqr_ge0 // ler_sq ?d0 // dd.
Qed.

Definition trunc d k : 'rV[F]_n := \row_i (if (i < k)%N then d 0 i else 0).

Lemma rank_trunc U d V k : (\rank (U *m diag_mx (trunc d k) *m V^T) <= k)%N.
Proof.
have -> : diag_mx (trunc d k) = diag_mx d *m pid_mx k.
  apply/matrixP=> i j; rewrite mul_diag_mx !mxE mulr_natr -val_eqE /=.
  by case: (i < k)%N; rewrite ?andbT ?andbF ?mul0rn.
apply: leq_trans (mxrankM_maxl _ _) _; rewrite mulmxA; apply: leq_trans (mxrankM_maxr _ _) _.
rewrite -(@pid_mx_id F n k n k) //; apply: leq_trans (mxrankM_maxl _ _) (rank_leq_col _).
Qed.

Lemma trunc_error E U d V k (x : 'cV[F]_n) : is_svd E U d V ->
  sqnorm ((U *m diag_mx (trunc d k) *m V^T - E) *m x) <= sigma d k ^+ 2 * sqnorm x.
Proof.
case=> -> UU VV d0 dd; rewrite -mulmxBl -mulmxBr -!mulmxA sqnorm_orth //.
have VV' : V *m V^T = 1%:M by apply: mulmx1C.
have -> : sqnorm x = sqnorm (V^T *m x) by rewrite sqnorm_orth // trmxK.
rewrite !sqnorm_col mulr_sumr; apply: ler_sum => i _; rewrite -raddfB /= mul_diag_mx 2!mxE exprMn.
rewrite ler_wpM2r ?sqr_ge0 // !mxE; case: ltnP => ik; first by rewrite subrr expr0n sqr_ge0.
have kn : (k < n)%N := leq_ltn_trans ik (ltn_ord i).
by rewrite sub0r sqrrN /sigma insubT /= ler_sq ?d0 // dd.
Qed.

(* Lemma 1 with norms: the best possible spectral error is the singular value number 1 + sum of ranks *)
Theorem lemma1_attained Ws Rs T U d V (s := sigma d (sumn Rs)) :
  size Ws = size Rs -> all (fun W => W \in unitmx) Ws -> is_svd (T - chain Ws) U d V ->
  exists2 Ds, ranks_le Ds Rs & forall x : 'cV[F]_n, sqnorm ((chain (adapted Ws Ds) - T) *m x) <= s ^+ 2 * sqnorm x.
Proof.
move=> sz Wsu svdE; pose A := U *m diag_mx (trunc d (sumn Rs)) *m V^T.
have [|Ds Dr defT] := @lemma1_exists F n Ws Rs (chain Ws + A) sz Wsu.
  by rewrite addrC addKr; apply: rank_trunc.
exists Ds => // x; rewrite defT; have := trunc_error (sumn Rs) x svdE.
by rewrite -/A opprB addrA [A + _]addrC.
Qed.

Theorem lemma1_lower Ws Ds T U d V : size Ws = size Ds -> is_svd (T - chain Ws) U d V -> (0 < n)%N ->
  exists2 x : 'cV[F]_n, x != 0 &
    sigma d (\sum_(D <- Ds) \rank D) ^+ 2 * sqnorm x <= sqnorm ((chain (adapted Ws Ds) - T) *m x).
Proof.
move=> sz svdE n0; set k := (\sum_(D <- Ds) \rank D)%N.
have [kn|nk] := ltnP k n; last first.
  exists (const_mx 1); first by apply/eqP=> /colP/(_ (Ordinal n0)); rewrite !mxE => /eqP; rewrite oner_eq0.
  by rewrite /sigma insubF ?ltnNge ?nk //= expr0n mul0r sqnorm_ge0.
have [x x0 xP] := eckart_young svdE (rank_change sz) kn; exists x => //.
have -> : (chain (adapted Ws Ds) - T) *m x = - ((T - chain Ws - (chain (adapted Ws Ds) - chain Ws)) *m x).
  by rewrite -mulNmx (opprB (chain _)) addrA subrK opprB.
by rewrite sqnormN.
Qed.
End SVD.

Section SVD.
Variable F : rcfType.

(* a square matrix with orthogonal columns is U diag(s) *)
Lemma orth_cols n (A : 'M[F]_n) (c : 'rV[F]_n) : A^T *m A = diag_mx c ->
  exists (U : 'M[F]_n) (s : 'rV[F]_n), [/\ U^T *m U = 1%:M, forall i, 0 <= s 0 i & A = U *m diag_mx s].
Proof.
elim: n A c => [|n IH] A c AA.
  by exists 1%:M, 0; split=> [|[]|] //; rewrite ?trmx1 ?mulmx1 // [LHS]flatmx0 [RHS]flatmx0.
move: A c AA; rewrite -[n.+1]/(1 + n)%N => A c AA.
have colE : lsubmx A = A *m delta_mx 0 0 by rewrite e0_col.
(* a unit vector x, a number t >= 0 with first column t x, and x^T A = (t, 0) *)
have [x [t [x1 t0 At xA]]] : exists (x : 'cV[F]_(1 + n)) (t : F),
    [/\ sqnorm x = 1, 0 <= t, A *m delta_mx 0 0 = t *: x & x^T *m A = row_mx t%:M 0].
  pose e0 : 'cV[F]_(1 + n) := delta_mx 0 0; pose a := A *m e0.
  have ec : e0^T *m diag_mx c = row_mx (c 0 0)%:M 0.
    apply/rowP=> j; rewrite mul_mx_diag [LHS]mxE [e0^T 0 j]mxE [e0 j 0]mxE [RHS]mxE.
    case: splitP => j' jj'; rewrite ?ord1 ?mxE eqxx andbT -val_eqE /= jj' ?ord1 /= ?mul1r ?mul0r //.
    by rewrite mulr1n; congr (c 0 _); apply: val_inj; rewrite /= jj' ord1.
  have aA : a^T *m A = row_mx (c 0 0)%:M 0 by rewrite /a trmx_mul -mulmxA AA ec.
  have sqa : sqnorm a = c 0 0.
    by rewrite sqnormE {2}/a mulmxA aA /e0 e0E mul_row_col mulmx1 mulmx0 addr0 mxE mulr1n.
  case: (eqVneq a 0) => [a0|a0].
    have : kermx A != 0.
      apply/negP; rewrite kermx_eq0 row_free_unit => Au.
      have /colP/(_ 0) : e0 = 0 by rewrite -(mulKmx Au e0) -/a a0 mulmx0.
      by rewrite !mxE !eqxx => /eqP; rewrite oner_eq0.
    case/rowV0Pn=> z /sub_kermxP zA z0; have zt0 : z^T != 0 by rewrite -trmx_eq0 trmxK.
    exists ((Num.sqrt (sqnorm z^T))^-1 *: z^T), 0; split=> //; first exact: sqnorm_unit.
      by rewrite scale0r -/e0 -/a a0.
    rewrite raddf0 row_mx0 -[RHS](scaler0 _ (Num.sqrt (sqnorm z^T))^-1) -zA scalemxAl.
    by rewrite tr_scale trmxK.
  have q0 : 0 < Num.sqrt (sqnorm a) by rewrite sqrtr_gt0 sqnorm_gt0.
  exists ((Num.sqrt (sqnorm a))^-1 *: a), (Num.sqrt (sqnorm a)); split; rewrite ?sqnorm_unit ?sqrtr_ge0 //.
    by rewrite scalerA divff ?scale1r // gt_eqF.
  rewrite tr_scale -scalemxAl aA scale_row_mx scaler0 scale_scalar_mx -sqa; congr (row_mx _%:M _).
  by rewrite -{2}(sqr_sqrtr (sqnorm_ge0 a)) expr2 mulKf // gt_eqF.
have [H [Ht HH He]] := householder x1.
pose B := H *m A.
have Bl : lsubmx B = col_mx t%:M 0.
  by rewrite -e0_col /B -mulmxA At -scalemxAr -He mulmxA HH mul1mx e0E scale_col_mx scaler0 scale_scalar_mx mulr1.
have Bu : usubmx B = row_mx t%:M 0.
  have <- : (delta_mx 0 0 : 'cV[F]_(1 + n))^T *m B = usubmx B.
    by rewrite e0E tr_col_mx trmx0 trmx1 -{1}(vsubmxK B) mul_row_col mul1mx mul0mx addr0.
  by rewrite /B mulmxA -xA -He trmx_mul Ht.
have BE : B = block_mx t%:M 0 0 (drsubmx B).
  rewrite -{1}(submxK B); congr (block_mx _ _ _ _).
  - by rewrite -(col_mxKu (t%:M : 'M[F]_1) (0 : 'M[F]_(n, 1))) -Bl; apply/matrixP=> i j; rewrite !mxE.
  - by rewrite -(row_mxKr (t%:M : 'M[F]_1) (0 : 'M[F]_(1, n))) -Bu; apply/matrixP=> i j; rewrite !mxE.
  - by rewrite -(col_mxKd (t%:M : 'M[F]_1) 0) -Bl; apply/matrixP=> i j; rewrite !mxE.
have BB : B^T *m B = diag_mx c by rewrite /B trmx_mul mulmxA -(mulmxA A^T) Ht HH mulmx1.
have [|U [s [UU s0 DE]]] := IH (drsubmx B) (rsubmx c).
  move: BB; rewrite -{1}(hsubmxK c) diag_mx_row {1 2}BE tr_block_mx !trmx0 mulmx_block !(mul0mx, mulmx0, addr0, add0r).
  by case/eq_block_mx.
exists (H *m block_mx 1%:M 0 0 U), (row_mx t%:M s); split.
- by rewrite trmx_mul mulmxA -(mulmxA _ H^T) Ht HH mulmx1 orth_block.
- by move=> i; rewrite mxE; case: splitP => j _; rewrite ?s0 // ord1 mxE mulr1n.
have -> : A = H *m B by rewrite /B mulmxA HH mul1mx.
clearbody B; rewrite -mulmxA; congr (H *m _); rewrite BE diag_mx_row (_ : diag_mx t%:M = t%:M).
  by rewrite mulmx_block !(mul0mx, mulmx0, addr0, add0r, mul1mx) {1}DE.
by apply/matrixP=> i j; rewrite !ord1 !mxE.
Qed.

(* singular value decomposition, values not yet sorted *)
Theorem svd_unsorted n (E : 'M[F]_n) : exists (U V : 'M[F]_n) (s : 'rV[F]_n),
  [/\ U^T *m U = 1%:M, V^T *m V = 1%:M, forall i, 0 <= s 0 i & E = U *m diag_mx s *m V^T].
Proof.
have [|V [c [VV SE]]] := @spectral F n (E^T *m E); first by rewrite trmx_mul trmxK.
have VV' : V *m V^T = 1%:M by apply: mulmx1C.
have [|U [s [UU s0 DE]]] := @orth_cols n (E *m V) c.
  by rewrite trmx_mul mulmxA -(mulmxA V^T) SE !mulmxA VV mul1mx -mulmxA VV mulmx1.
by exists U, V, s; split=> //; rewrite -DE -mulmxA VV' mulmx1.
Qed.

Lemma sorting n (s : 'rV[F]_n) : exists2 f : 'I_n -> 'I_n, injective f &
  forall i j : 'I_n, (i <= j)%N -> s 0 (f j) <= s 0 (f i).
Proof.
case: n s => [|n] s; first by exists id => // [[]].
pose le (i j : 'I_n.+1) := s 0 j <= s 0 i; pose t := sort le (enum 'I_n.+1).
have tot : total le by move=> i j; apply: le_total.
have tr : transitive le by move=> i j k ij ik; apply: le_trans ik ij.
have sz : size t = n.+1 by rewrite size_sort size_enum_ord.
have ut : uniq t by rewrite sort_uniq enum_uniq.
exists (fun i => nth 0 t i) => [i j /eqP|i j ij].
  by rewrite nth_uniq ?sz ?ltn_ord // => /eqP/val_inj.
by apply: (sorted_leq_nth tr) => //; rewrite ?inE ?sz ?ltn_ord ?sort_sorted // => k; apply: lexx.
Qed.

Theorem svd_exists n (E : 'M[F]_n) : exists U d V, is_svd E U d V.
Proof.
have [U [V [s [UU VV s0 EE]]]] := svd_unsorted E; have [f finj fs] := sorting s.
have orth (W : 'M[F]_n) : W^T *m W = 1%:M -> (\matrix_(i, j) W i (f j))^T *m (\matrix_(i, j) W i (f j)) = 1%:M.
  move=> WW; apply/matrixP=> i j; move/matrixP/(_ (f i) (f j)): WW; rewrite !mxE (inj_eq finj) => <-.
  by apply: eq_bigr => k _; rewrite !mxE.
exists (\matrix_(i, j) U i (f j)), (\row_i s 0 (f i)), (\matrix_(i, j) V i (f j)).
split; rewrite ?orth //; try by move=> *; rewrite !mxE ?s0 ?fs.
rewrite EE; apply/matrixP=> i j; rewrite !mxE (reindex_inj finj) /=; apply: eq_bigr => k _.
by rewrite !mul_mx_diag !mxE.
Qed.

(* Lemma 1 with norms, over any real closed field, nothing assumed but nonsingular frozen weights *)
Theorem lemma1_norm n (Ws : seq 'M[F]_n) (Rs : seq nat) (T : 'M[F]_n) :
  (0 < n)%N -> size Ws = size Rs -> all (fun W => W \in unitmx) Ws ->
  exists2 d : 'rV[F]_n, exists U V, is_svd (T - chain Ws) U d V &
  (exists2 Ds, ranks_le Ds Rs & forall x : 'cV[F]_n,
     sqnorm ((chain (adapted Ws Ds) - T) *m x) <= sigma d (sumn Rs) ^+ 2 * sqnorm x) /\
  (forall Ds, size Ds = size Ws -> exists2 x : 'cV[F]_n, x != 0 &
     sigma d (\sum_(D <- Ds) \rank D) ^+ 2 * sqnorm x <= sqnorm ((chain (adapted Ws Ds) - T) *m x)).
Proof.
move=> n0 sz Wsu; have [U [d [V E]]] := svd_exists (T - chain Ws); exists d; first by exists U, V.
by split=> [|Ds szD]; [apply: lemma1_attained E | apply: lemma1_lower E _].
Qed.
End SVD.
