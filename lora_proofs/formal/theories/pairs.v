(* A pair of rectangular factors, such as an attention head: O (D x d), V (d x n), adapters of ranks R_V and R_O, target T = O' V'.

   [pair_iff]  when exact adapters of a pair exist.
     says: O, V of full rank d and T = O' V' of rank d: there are adapters of ranks at most R_O, R_V with (O + D_O)(V + D_V) = T if and only if
       rank((I - P_O) T) <= R_O, rank(T (I - P_V)) <= R_V and rank(T - O V) <= R_O + R_V.
     differs: any field, also a finite one; P_O = O L and P_V = N V are any projections, orthogonal or not, onto the range of O and the row space of V.
   [pair_necessary]  the three conditions are necessary for every target.
     says: whatever the adapters, the three ranks are at most rank D_O, rank D_V and their sum.
     differs: stated for an exact product.
   [pair_counts_are_not_enough] refuted weakening: rank(T - O V) <= R_O + R_V alone does not suffice. *)
From mathcomp Require Import all_ssreflect all_algebra zify.
From LoraProofs Require Import chain.
Set Implicit Arguments. Unset Strict Implicit. Unset Printing Implicit Defensive.
Import GRing.Theory.
Local Open Scope ring_scope.

Lemma le_of_sub a d R : (a + (d - R) <= d)%N -> (a <= R)%N.
Proof. lia. Qed.

Section Completion.
Variable F : fieldType.

(* a column u and a row v outside the range and the row space raise the rank *)
Lemma rank_rise d (G : 'M[F]_d) (u x : 'cV[F]_d) (v y : 'rV[F]_d) :
  G *m x = 0 -> y *m G = 0 -> v *m x = 1%:M -> y *m u = 1%:M -> (\rank G < \rank (G + u *m v)%R)%N.
Proof.
move=> Gx yG vx yu; rewrite -mxrank_tr -[X in (_ < X)%N]mxrank_tr; set M := G + u *m v.
have Mx : M *m x = u by rewrite mulmxDl Gx add0r -mulmxA vx mulmx1.
apply: rank_ltmx; rewrite ltmxE; apply/andP; split.
  have -> : G = M *m (1%:M - x *m v) by rewrite mulmxBr mulmx1 mulmxA Mx addrK.
  by rewrite trmx_mul submxMl.
have ut : (u^T <= M^T)%MS by rewrite -Mx trmx_mul submxMl.
apply/negP=> MG; have /submxP[Z uZ] := submx_trans ut MG.
have : (y *m u)^T = 0 by rewrite trmx_mul uZ -mulmxA -trmx_mul yG trmx0 mulmx0.
by rewrite yu trmx1 => /matrixP/(_ 0 0); rewrite !mxE => /eqP; rewrite oner_eq0.
Qed.

(* a vector outside the range of C is told from it by a row *)
Lemma separate d s (C : 'M[F]_(d, s)) (x : 'cV[F]_d) : (forall c, x <> C *m c) ->
  exists v : 'rV[F]_d, v *m C = 0 /\ v *m x = 1%:M.
Proof.
move=> xC; have [i Ki] : exists i, (kermx C *m x) i 0 != 0.
  case: (boolP [exists i, (kermx C *m x) i 0 != 0]) => [/existsP //|]; rewrite negb_exists => /forallP K0; exfalso.
  have Kx : kermx C *m x = 0 by apply/colP=> i; move: (K0 i); rewrite negbK [RHS]mxE => /eqP.
  suff /submxP[Z xZ] : (x^T <= C^T)%MS by apply: (xC Z^T); rewrite -[x]trmxK xZ trmx_mul trmxK.
  rewrite submxE -(inj_eq (@trmx_inj _ _ _)) trmx_mul trmxK trmx0.
  have /submxP[Y ->] : ((cokermx C^T)^T <= kermx C)%MS.
    by apply/sub_kermxP; apply: trmx_inj; rewrite trmx_mul trmxK mulmx_coker trmx0.
  by rewrite -mulmxA Kx mulmx0 eqxx.
exists (((kermx C *m x) i 0)^-1 *: row i (kermx C)); rewrite -!scalemxAl -!row_mul mulmx_ker row0 scaler0; split=> //.
by rewrite [row _ _]mx11_scalar [row _ _ _ _]mxE scale_scalar_mx mulVf.
Qed.

(* an invertible matrix with given values on independent columns C and independent rows Y *)
Lemma completion d s t (C B : 'M[F]_(d, s)) (Y H : 'M[F]_(t, d)) :
  row_free C^T -> row_free B^T -> row_free Y -> row_free H -> Y *m B = H *m C ->
  exists2 G : 'M[F]_d, G \in unitmx & G *m C = B /\ Y *m G = H.
Proof.
move=> Cf Bf Yf Hf YB.
have inj (A : 'M[F]_(d, s)) (c : 'cV[F]_s) : row_free A^T -> A *m c = 0 -> c = 0.
  move=> Af Ac; apply: trmx_inj; apply/eqP; rewrite trmx0 -(mulmx_free_eq0 _ Af) -trmx_mul Ac trmx0 eqxx //.
have [G0 G0P] : exists G : 'M[F]_d, G *m C = B /\ Y *m G = H.
  have /row_freeP[C' CC'] := Cf; have /row_freeP[Y' YY'] := Yf.
  have C'C : C'^T *m C = 1%:M by rewrite -[C in _ *m C]trmxK -trmx_mul CC' trmx1.
  exists (B *m C'^T + Y' *m H *m (1%:M - C *m C'^T)); split.
    by rewrite mulmxDl -mulmxA C'C mulmx1 -[_ *m _ *m C]mulmxA mulmxBl mul1mx -(mulmxA C) C'C mulmx1 subrr mulmx0 addr0.
  by rewrite mulmxDr !mulmxA YB YY' mul1mx mulmxBr mulmx1 addrC mulmxA subrK.
elim: {G0}(d - \rank G0)%N {-2}G0 (leqnn (d - \rank G0)) G0P => [|k IH] G.
  by rewrite leqn0 subn_eq0 => dG GP; exists G => //; rewrite -row_free_unit /row_free eqn_leq rank_leq_row.
move=> Gk [GC YG]; case: (boolP (G \in unitmx)) => [Gu|Gn]; first by exists G.
have [x x0 Gx] : exists2 x : 'cV[F]_d, x != 0 & G *m x = 0.
  have : kermx G^T != 0 by rewrite kermx_eq0 row_free_unit unitmx_tr.
  case/rowV0Pn=> z /sub_kermxP zG z0; exists z^T; first by rewrite -(inj_eq (@trmx_inj _ _ _)) trmxK trmx0.
  by apply: trmx_inj; rewrite trmx_mul trmxK zG trmx0.
have [y y0 yG] : exists2 y : 'rV[F]_d, y != 0 & y *m G = 0.
  have : kermx G != 0 by rewrite kermx_eq0 row_free_unit.
  by case/rowV0Pn=> z /sub_kermxP zG z0; exists z.
have [c xC|v [vC vx]] := @separate d s C x.
  by move/eqP: x0; apply; rewrite xC (inj B c Bf) ?mulmx0 // -GC -mulmxA -xC.
have [c yY|u [uY uy]] := @separate d t Y^T y^T.
  have yY' : y = c^T *m Y by rewrite -[y]trmxK yY trmx_mul trmxK.
  move/eqP: y0; apply; move: yG; rewrite yY' -mulmxA YG => /eqP; rewrite mulmx_free_eq0 // => /eqP ->; exact: mul0mx.
have yu : y *m u^T = 1%:M by rewrite -[y]trmxK -trmx_mul uy trmx1.
have Yu : Y *m u^T = 0 by rewrite -[Y]trmxK -trmx_mul uY trmx0.
apply: (IH (G + u^T *m v)).
  by rewrite leq_subLR; move: Gk (rank_rise Gx yG vx yu); rewrite leq_subLR addnS -addSn => h1 h2; apply: leq_trans h1 _; rewrite leq_add2r.
by rewrite mulmxDl mulmxDr GC YG mulmxA Yu mul0mx -mulmxA vC mulmx0 !addr0.
Qed.

Lemma rank_pid_le p q k : (\rank (pid_mx k : 'M[F]_(p, q)) <= k)%N.
Proof. by rewrite -(@pid_mx_id F p k q k) //; apply: leq_trans (mxrankM_maxl _ _) (rank_leq_col _). Qed.

(* a form m on a p- and a q-dimensional space vanishes on some subspaces of dimensions s, t with s + t + rank m <= p + q *)
Lemma isotropic p q s t (m : 'M[F]_(q, p)) : (s <= p)%N -> (s + t + \rank m <= p + q)%N -> (t <= q)%N ->
  exists (S : 'M[F]_(p, s)) (Z : 'M[F]_(t, q)), [/\ row_free S^T, row_free Z & Z *m m *m S = 0].
Proof.
move=> /subnK sp; move: (p - s)%N sp => a sp; subst p => str tq.
have tr : (t + \rank m <= a + q)%N by rewrite -(leq_add2l s) !addnA (addnC s a).
(* the last s columns of a basis in which m is pid_mx are as near to its kernel as can be *)
pose S : 'M[F]_(a + s, s) := rsubmx (invmx (row_ebase m)).
have SE : S = invmx (row_ebase m) *m col_mx 0 1%:M.
  by rewrite /S -{2}[invmx _]hsubmxK mul_row_col mulmx0 mulmx1 add0r.
have Sf : row_free S^T.
  apply/row_freeP; exists ((row_mx 0 1%:M : 'M[F]_(s, a + s)) *m row_ebase m)^T.
  by rewrite -trmx_mul SE -mulmxA (mulmxA (row_ebase m)) mulmxV ?row_ebase_unit // mul1mx mul_row_col mul0mx mulmx1 add0r trmx1.
have rmS : (\rank (m *m S) <= \rank m - a)%N.
  rewrite SE mulmxA -{1}(mulmx_ebase m) mulmxK ?row_ebase_unit // -mulmxA.
  apply: leq_trans (mxrankM_maxr _ _) _.
  have XE : (pid_mx (\rank m) : 'M[F]_(q, a + s)) *m col_mx 0 1%:M = \matrix_(i < q, j < s) (pid_mx (\rank m) i (rshift a j)).
    by rewrite -{1}[pid_mx _]hsubmxK mul_row_col mulmx0 mulmx1 add0r; apply/matrixP=> i j; rewrite !mxE.
  rewrite XE (_ : \matrix_(_, _) _ = (\matrix_(i < q, j < s) (pid_mx (\rank m) i (rshift a j))) *m (pid_mx (\rank m - a) : 'M[F]_s)).
    exact: leq_trans (mxrankM_maxr _ _) (rank_pid_le _ _ _).
  apply/matrixP=> i j; rewrite !mxE (bigD1 j) //= !mxE eqxx /= big1 => [|k kj].
    by rewrite addr0 ltn_subRL; case: eqP => [->|]; rewrite ?mul0r //= -natrM mulnb andbb.
  by rewrite !mxE -val_eqE in kj *; rewrite (negPf kj) mulr0.
have tk : (t <= \rank (kermx (m *m S)))%N.
  by rewrite mxrank_ker; apply: leq_trans (leq_sub2l q rmS); move: (\rank m) tr tq (rank_leq_row m) => r; lia.
exists S, ((pid_mx t : 'M_(t, _)) *m row_base (kermx (m *m S))); split=> //.
  by rewrite /row_free mxrankMfree ?row_base_free // rank_pid_mx.
have /sub_kermxP h : (row_base (kermx (m *m S)) <= kermx (m *m S))%MS by rewrite eq_row_base.
by rewrite -(mulmxA _ m S) -mulmxA h mulmx0.
Qed.
End Completion.

Section Pair.
Variables (F : fieldType) (D d n : nat) (O : 'M[F]_(D, d)) (V : 'M[F]_(d, n)).
(* any one-sided inverses: O L and N V are projections onto the range of O and the row space of V *)
Variables (L : 'M[F]_(d, D)) (N : 'M[F]_(n, d)).
Hypotheses (LO : L *m O = 1%:M) (VN : V *m N = 1%:M).

Theorem pair_necessary (T : 'M[F]_(D, n)) (DO : 'M[F]_(D, d)) (DV : 'M[F]_(d, n)) : (O + DO) *m (V + DV) = T ->
  [/\ (\rank (((1%:M - O *m L) *m T)%R) <= \rank DO)%N, (\rank ((T *m (1%:M - N *m V))%R) <= \rank DV)%N
    & (\rank ((T - O *m V)%R) <= \rank DO + \rank DV)%N].
Proof.
have AO : (1%:M - O *m L) *m O = 0 by rewrite mulmxBl mul1mx -mulmxA LO mulmx1 subrr.
have VA : V *m (1%:M - N *m V) = 0 by rewrite mulmxBr mulmx1 mulmxA VN mul1mx subrr.
move=> <-; split.
- rewrite mulmxA (mulmxDr _ O DO) AO add0r.
  by apply: leq_trans (mxrankM_maxl _ _) (mxrankM_maxr _ _).
- rewrite -mulmxA (mulmxDl V DV) VA add0r.
  by apply: leq_trans (mxrankM_maxr _ _) (mxrankM_maxl _ _).
have -> : (O + DO) *m (V + DV) - O *m V = DO *m V + (O + DO) *m DV.
  by rewrite mulmxDr (mulmxDl O DO V) addrAC [O *m V + _]addrC addrK.
apply: leq_trans (mxrank_add _ _) (leq_add _ _); [exact: mxrankM_maxl | exact: mxrankM_maxr].
Qed.

Variables (O' : 'M[F]_(D, d)) (V' : 'M[F]_(d, n)) (L' : 'M[F]_(d, D)) (N' : 'M[F]_(n, d)).
Hypotheses (LO' : L' *m O' = 1%:M) (VN' : V' *m N' = 1%:M).

Lemma left_kernel a b (B : 'M[F]_(a, b)) : exists k (K : 'M[F]_(k, a)), [/\ row_free K, K *m B = 0 & k = (a - \rank B)%N].
Proof.
exists (\rank (kermx B)), (row_base (kermx B)); split; [exact: row_base_free | | exact: mxrank_ker].
by apply/sub_kermxP; rewrite eq_row_base.
Qed.

Lemma free_inverse a b (A : 'M[F]_(a, b)) (A' : 'M[F]_(b, a)) : A *m A' = 1%:M -> row_free A.
Proof. by move=> AA; apply/row_freeP; exists A'. Qed.

Theorem pair_exists RO RV (T := O' *m V') :
  (\rank (((1%:M - O *m L) *m T)%R) <= RO)%N -> (\rank ((T *m (1%:M - N *m V))%R) <= RV)%N ->
  (\rank ((T - O *m V)%R) <= RO + RV)%N -> (RO <= d)%N -> (RV <= d)%N ->
  exists DO DV, [/\ (\rank DO <= RO)%N, (\rank DV <= RV)%N & (O + DO) *m (V + DV) = T].
Proof.
move=> rO rV rE ROd RVd; set E := T - O *m V.
pose B := (1%:M - O *m L) *m O'; pose B' := V' *m (1%:M - N *m V).
have Vf' : row_free V' by apply: free_inverse VN'.
have Of' : row_free O'^T by apply: (@free_inverse _ _ _ L'^T); rewrite -trmx_mul LO' trmx1.
have Of : row_free O^T by apply: (@free_inverse _ _ _ L^T); rewrite -trmx_mul LO trmx1.
have rB : \rank ((1%:M - O *m L) *m T) = \rank B by rewrite mulmxA mxrankMfree.
have rB' : \rank (T *m (1%:M - N *m V)) = \rank B'.
  by rewrite -mulmxA -mxrank_tr trmx_mul mxrankMfree // mxrank_tr.
(* O C0 = O' F0 and H0 V = Y0 V' with as many columns, rows as possible *)
have [p [F0 [F0f BF pE]]] : exists p (F0 : 'M[F]_(d, p)), [/\ row_free F0^T, B *m F0 = 0 & p = (d - \rank B)%N].
  have [p [K [Kf KB pE]]] := left_kernel B^T; exists p, K^T; split; [by rewrite trmxK | | by rewrite -(mxrank_tr B)].
  by apply: trmx_inj; rewrite trmx_mul trmxK KB trmx0.
have [q [Y0 [Y0f YB qE]]] := left_kernel B'.
pose C0 := L *m O' *m F0; pose H0 := Y0 *m V' *m N.
have OC : O *m C0 = O' *m F0.
  by apply/esym/eqP; rewrite -subr_eq0 /C0 !mulmxA -mulmxBl -[X in X - _]mul1mx -mulmxBl BF.
have YV : H0 *m V = Y0 *m V'.
  apply/esym/eqP; rewrite -subr_eq0 /H0 -!mulmxA -mulmxBr -[X in X - _]mulmx1 -mulmxBr.
  by rewrite YB.
pose m := Y0 *m F0 - H0 *m C0.
(* rank E >= rank B + rank B' + rank m *)
have rm : (\rank B + \rank B' + \rank m <= \rank E)%N.
  pose A := 1%:M - O *m L; pose K := cokermx V'; pose Z1 := N' *m F0.
  have VK : V' *m K = 0 by apply: mulmx_coker.
  have AB : A *m O' = B by [].
  have AO : A *m O = 0 by rewrite mulmxBl mul1mx -mulmxA LO mulmx1 subrr.
  clearbody A; have AE : A *m E = B *m V'.
    by rewrite /E /T mulmxBr (mulmxA A O') AB (mulmxA A O) AO mul0mx subr0.
  have EK : E *m K = - (O *m (V *m K)) by rewrite mulmxBl -[_ *m V' *m K]mulmxA VK mulmx0 sub0r -mulmxA.
  have HLO a (X : 'M_(d, a)) : H0 *m L *m (O *m X) = H0 *m X by rewrite -(mulmxA H0) (mulmxA L) LO mul1mx.
  have VZ : V' *m Z1 = F0 by rewrite /Z1 mulmxA VN' mul1mx.
  have HLF : H0 *m L *m (O' *m F0) = H0 *m C0 by rewrite /C0 !mulmxA.
  have HVZ : H0 *m (V *m Z1) = Y0 *m F0 by rewrite mulmxA YV -mulmxA VZ.
  clearbody Z1; have EZ : E *m Z1 = O' *m F0 - O *m (V *m Z1) by rewrite /E /T mulmxBl -!mulmxA VZ.
  have HEZ : H0 *m L *m (E *m Z1) = - m by rewrite EZ mulmxBr HLO HLF HVZ opprB.
  have HEK : H0 *m L *m (E *m K) = 0.
    by rewrite EK mulmxN HLO mulmxA YV -mulmxA VK mulmx0 oppr0.
  have rVK : (\rank B' <= \rank (V *m K))%N.
    have /submxP[X XV] : (kermx (V *m K) *m V <= V')%MS by rewrite submxE -mulmxA mulmx_ker.
    have XB : (X <= kermx B')%MS.
      by apply/sub_kermxP; rewrite mulmxA -XV mulmxBr mulmx1 mulmxA -(mulmxA _ V) VN mulmx1 subrr.
    have : (\rank (kermx (V *m K)) <= \rank (kermx B'))%N.
      apply: leq_trans (mxrankS XB); rewrite -(mxrankMfree _ (free_inverse VN)) XV; exact: mxrankM_maxl.
    by rewrite !mxrank_ker; move: (rank_leq_row B') (rank_leq_row (V *m K)); lia.
  have := mxrank_Frobenius A E (row_mx K Z1).
  have -> : A *m E *m row_mx K Z1 = 0.
    by rewrite AE mul_mx_row -(mulmxA B V' K) VK mulmx0 -(mulmxA B V' Z1) VZ BF row_mx0.
  rewrite mxrank0 addn0 AE mxrankMfree //; apply: leq_trans; rewrite -addnA leq_add2l.
  have EKW : row_mx (E *m K) (E *m Z1) *m col_mx 1%:M 0 = E *m K by rewrite mul_row_col mulmx1 mulmx0 addr0.
  rewrite mul_mx_row; have := mxrank_Frobenius (H0 *m L) (row_mx (E *m K) (E *m Z1)) (col_mx 1%:M 0).
  rewrite -(mulmxA (H0 *m L)) EKW HEK mxrank0 addn0; apply: leq_trans; rewrite addnC; apply: leq_add.
    rewrite mul_mx_row HEK HEZ -(mxrank_opp m).
    have {1}-> : - m = row_mx (0 : 'M_(_, n)) (- m) *m col_mx 0 1%:M by rewrite mul_row_col mul0mx mulmx1 add0r.
    exact: mxrankM_maxl.
  have OVK : \rank (O *m (V *m K)) = \rank (V *m K).
    by rewrite -[LHS]mxrank_tr trmx_mul (mxrankMfree _ Of) [LHS]mxrank_tr.
  by rewrite EK mxrank_opp OVK.
clearbody C0 H0; have rBle : (\rank B <= d)%N by apply: rank_leq_col.
have rB'le : (\rank B' <= d)%N by apply: rank_leq_row.
have [|||S [Z [Sf Zf mS]]] := @isotropic F _ _ (d - RO) (d - RV) m.
- by rewrite pE leq_sub2l // -rB.
- by move: rm rE rBle rB'le rO rV; rewrite rB rB' -/E; move: (\rank m) (\rank E) (\rank B) (\rank B') pE qE => x y z w; lia.
- by rewrite qE leq_sub2l // -rB'.
have FSf : row_free (F0 *m S)^T by rewrite /row_free trmx_mul mxrankMfree.
have ZYf : row_free (Z *m Y0) by rewrite /row_free mxrankMfree.
have CSf : row_free (C0 *m S)^T.
  move: FSf; rewrite /row_free !mxrank_tr !eqn_leq !rank_leq_col /=; move/leq_trans; apply.
  have -> : F0 *m S = L' *m O *m (C0 *m S) by rewrite -!mulmxA (mulmxA O) OC -(mulmxA O') (mulmxA L') LO' mul1mx.
  exact: mxrankM_maxr.
have ZHf : row_free (Z *m H0).
  move: ZYf; rewrite /row_free !eqn_leq !rank_leq_row /=; move/leq_trans; apply.
  have -> : Z *m Y0 = Z *m H0 *m (V *m N') by rewrite -!mulmxA (mulmxA H0) YV -(mulmxA Y0) VN' mulmx1.
  exact: mxrankM_maxl.
have [|G Gu [GC YG]] := completion CSf FSf ZYf ZHf.
  by move: mS; rewrite /m mulmxBr mulmxBl !mulmxA => /subr0_eq.
have rCS : \rank (C0 *m S) = (d - RO)%N by apply/eqP; rewrite -mxrank_tr.
have rZY : \rank (Z *m Y0) = (d - RV)%N by apply/eqP.
exists (O' *m G - O), (invmx G *m V' - V); split.
- have /mulmx0_rank_max : (O' *m G - O) *m (C0 *m S) = 0 by rewrite mulmxBl -mulmxA GC !mulmxA OC subrr.
  by rewrite rCS; apply: le_of_sub.
- have -> : invmx G *m V' - V = invmx G *m (V' - G *m V) by rewrite mulmxBr mulKmx.
  apply: leq_trans (mxrankM_maxr _ _) _.
  have /mulmx0_rank_max : Z *m Y0 *m (V' - G *m V) = 0 by rewrite mulmxBr mulmxA YG -!mulmxA YV subrr.
  by rewrite rZY addnC; apply: le_of_sub.
by rewrite addrC subrK addrC subrK mulmxA mulmxK.
Qed.

(* the threshold of a pair *)
Theorem pair_iff RO RV (T := O' *m V') :
  (exists DO DV, [/\ (\rank DO <= RO)%N, (\rank DV <= RV)%N & (O + DO) *m (V + DV) = T]) <->
  [/\ (\rank (((1%:M - O *m L) *m T)%R) <= RO)%N, (\rank ((T *m (1%:M - N *m V))%R) <= RV)%N
    & (\rank ((T - O *m V)%R) <= RO + RV)%N].
Proof.
split=> [[DO [DV [rO rV /pair_necessary[h1 h2 h3]]]]|[h1 h2 h3]].
  by split; [apply: leq_trans h1 _ | apply: leq_trans h2 _ | apply: leq_trans h3 _; apply: leq_add].
have d1 : (\rank (((1%:M - O *m L) *m T)%R) <= d)%N.
  by rewrite mulmxA; apply: leq_trans (mxrankM_maxr _ _) (rank_leq_row _).
have d2 : (\rank ((T *m (1%:M - N *m V))%R) <= d)%N.
  by rewrite -mulmxA; apply: leq_trans (mxrankM_maxl _ _) (rank_leq_col _).
have dA a b (A : 'M[F]_(a, d)) (A' : 'M[F]_(d, b)) : (\rank (A *m A') <= d)%N.
  by apply: leq_trans (mxrankM_maxr _ _) (rank_leq_row _).
have E1 : (\rank ((T - O *m V)%R) <= \rank (((1%:M - O *m L) *m T)%R) + d)%N.
  have -> : T - O *m V = (1%:M - O *m L) *m T + O *m (L *m T - V).
    by rewrite mulmxBl mul1mx mulmxBr !mulmxA addrA subrK.
  exact: leq_trans (mxrank_add _ _) (leq_add (leqnn _) (dA _ _ _ _)).
have E2 : (\rank ((T - O *m V)%R) <= \rank ((T *m (1%:M - N *m V))%R) + d)%N.
  have -> : T - O *m V = T *m (1%:M - N *m V) + (T *m N - O) *m V.
    by rewrite mulmxBr mulmx1 mulmxBl !mulmxA addrA subrK.
  exact: leq_trans (mxrank_add _ _) (leq_add (leqnn _) (dA _ _ _ _)).
have E3 : (\rank ((T - O *m V)%R) <= d + d)%N by apply: leq_trans E1 _; rewrite leq_add2r.
have [|||||DO [DV [rO rV defT]]] := @pair_exists (minn RO d) (minn RV d); rewrite ?leq_min ?geq_minr ?h1 ?h2 //.
  by move: h1 h2 h3 d1 d2 E1 E2 E3; rewrite -/T; move: (\rank _) (\rank _) (\rank _) => x y z; lia.
by exists DO, DV; split; [exact: leq_trans rO (geq_minl _ _) | exact: leq_trans rV (geq_minl _ _) | exact: defT].
Qed.
End Pair.

(* refuted: the rank of the difference alone does not decide; T is a projection of the plane on another line than O V *)
Theorem pair_counts_are_not_enough (F : fieldType) (e1 := delta_mx 0 0 : 'cV[F]_2) (e2 := delta_mx 1 0 : 'cV[F]_2) :
  (\rank ((e2 *m e1^T - e1 *m e1^T)%R) <= 0 + 1)%N /\
  ~ exists DO DV, [/\ (\rank DO <= 0)%N, (\rank DV <= 1)%N & (e1 + DO) *m (e1^T + DV) = e2 *m e1^T].
Proof.
split; first by rewrite -mulmxBl; apply: leq_trans (mxrankM_maxl _ _) (rank_leq_col _).
case=> DO [DV [rO _]]; move: rO; rewrite leqn0 mxrank_eq0 => /eqP ->; rewrite addr0.
move/matrixP/(_ 1 0); rewrite /e1 /e2 !mxE !big_ord1 !mxE /= mul0r mul1r => /eqP.
by rewrite eq_sym oner_eq0.
Qed.
