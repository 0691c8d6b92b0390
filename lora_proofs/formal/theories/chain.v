From mathcomp Require Import all_ssreflect all_algebra.
Set Implicit Arguments. Unset Strict Implicit. Unset Printing Implicit Defensive.
Import GRing.Theory.
Local Open Scope ring_scope.

Section Chain.
Variables (F : fieldType) (n : nat).
Implicit Types (Ws Ds : seq 'M[F]_n) (T M N B : 'M[F]_n).

(* the product of layers applied in order: chain [:: W1; ...; WL] = WL *m ... *m W1 *)
Fixpoint chain Ws : 'M[F]_n := if Ws is W :: Ws' then chain Ws' *m W else 1%:M.

Definition adapted Ws Ds := [seq p.1 + p.2 | p <- zip Ws Ds].

(* Ds is a list of adapters with ranks at most Rs *)
Definition ranks_le (Ds : seq 'M[F]_n) (Rs : seq nat) :=
  all2 (fun (D : 'M[F]_n) R => \rank D <= R)%N Ds Rs.

Lemma ranks_le_size Ds Rs : ranks_le Ds Rs -> size Ds = size Rs.
Proof. by rewrite /ranks_le all2E => /andP[/eqP]. Qed.

Lemma ranks_le_cat Ds1 Ds2 Rs1 Rs2 :
  ranks_le Ds1 Rs1 -> ranks_le Ds2 Rs2 -> ranks_le (Ds1 ++ Ds2) (Rs1 ++ Rs2).
Proof. by elim: Ds1 Rs1 => [|D Ds1 IH] [|R Rs1] //= /andP[-> /IH h] /h. Qed.

Lemma ranks_le_sum Ds Rs : ranks_le Ds Rs -> (\sum_(D <- Ds) \rank D <= sumn Rs)%N.
Proof.
elim: Ds Rs => [|D Ds IH] [|R Rs] //=; first by rewrite big_nil.
by case/andP=> dR /IH; rewrite big_cons; apply: leq_add.
Qed.

Lemma rank_change Ws Ds : size Ws = size Ds ->
  (\rank ((chain (adapted Ws Ds) - chain Ws)%R) <= \sum_(D <- Ds) \rank D)%N.
Proof.
elim: Ws Ds => [|W Ws IH] [|D Ds] //=; first by rewrite subrr mxrank0.
move=> [eq_sz]; rewrite big_cons mulmxDr.
rewrite (_ : _ - _ = chain (adapted Ws Ds) *m D + (chain (adapted Ws Ds) - chain Ws) *m W); last first.
  by rewrite mulmxBl addrCA addrA.
apply: leq_trans (mxrank_add _ _) _; apply: leq_add; first exact: mxrankM_maxr.
by apply: leq_trans (mxrankM_maxl _ _) _; apply: IH.
Qed.

(* Two nonzero matrices do not vanish on a common vector, over any field (also F_2). *)
Lemma common_vector m (A B : 'M[F]_(m, n)) : A != 0 -> B != 0 ->
  exists x : 'cV_n, A *m x != 0 /\ B *m x != 0.
Proof.
have nz (C : 'M[F]_(m, n)) : C != 0 -> exists x : 'cV_n, C *m x != 0.
  move=> Cn0; have /existsP[j Cj] : [exists j, col j C != 0].
    apply: contraNT Cn0; rewrite negb_exists => /forallP C0; apply/eqP/matrixP=> i j.
    by move: (C0 j); rewrite negbK => /eqP/matrixP/(_ i 0); rewrite !mxE.
  by exists (delta_mx j 0); rewrite -colE.
move=> /nz[x Ax] /nz[y By].
case: (eqVneq (B *m x) 0) => [Bx|?]; last by exists x.
case: (eqVneq (A *m y) 0) => [Ay|?]; last by exists y.
by exists (x + y); rewrite !mulmxDr Ay Bx addr0 add0r.
Qed.

End Chain.

Section Peel.
Variables (F : fieldType) (n : nat).
Implicit Types (Ws Ds : seq 'M[F]_n) (T M N B : 'M[F]_n).

(* Wedderburn's rank reduction *)
Lemma wedderburn N (x : 'cV[F]_n) (y : 'rV[F]_n) (c : F) :
  y *m N *m x = c%:M -> c != 0 ->
  (\rank ((N - c^-1 *: (N *m x *m (y *m N)))%R) < \rank N)%N.
Proof.
move=> yNx c0; set N' := _ - _; apply: rank_ltmx; rewrite ltmxE; apply/andP; split.
  by rewrite /N' -scaleNr mulmxA scalemxAl -{1}(mul1mx N) -mulmxDl submxMl.
apply/negP=> /submxP[Z defN]; have N'x : N' *m x = 0.
  by rewrite mulmxBl -scalemxAl -mulmxA yNx mul_mx_scalar scalerA mulVf // scale1r subrr.
have Nx: N *m x = 0 by rewrite defN -mulmxA N'x mulmx0.
by move: yNx; rewrite -mulmxA Nx mulmx0 => /matrixP/(_ 0 0); rewrite !mxE eqxx mulr1n => /esym/eqP; rewrite (negPf c0).
Qed.

Lemma rank_one_mul M (p p' : 'cV[F]_n) (q : 'rV[F]_n) a b e : q *m p = e%:M ->
  (M - a *: (p' *m q)) *m (1%:M + b *: (p *m q))
    = M + b *: (M *m p *m q) - (a + a * b * e) *: (p' *m q).
Proof.
move=> qp; have qpq : q *m (p *m q) = e *: q by rewrite mulmxA qp mul_scalar_mx.
rewrite mulmxDr mulmx1 -scalemxAr mulmxBl -scalemxAl -(mulmxA p') qpq -scalemxAr mulmxA.
by rewrite scalerBr !scalerA scalerDl opprD !addrA [b * a * e](_ : _ = a * b * e) 1?(mulrC a) // [LHS]addrAC -!addrA; congr (_ + _); rewrite addrCA addrA addrC !addrA addrAC.
Qed.

(* one factor I + (rank one) is split off and the rank of M - I drops *)
Lemma peel_one M : M - 1%:M != 0 -> exists M' G, [/\ M = M' *m G,
  (\rank ((G - 1%:M)%R) <= 1)%N & (\rank ((M' - 1%:M)%R) < \rank ((M - 1%:M)%R))%N].
Proof.
set N := M - 1%:M => N0; have defM : M = N + 1%:M by rewrite subrK.
have defN : M - 1%:M = N by []; clearbody N.
have NM : N *m M = M *m N by rewrite defM mulmxDl mulmxDr mul1mx mulmx1.
have NN : N *m N = N *m M - N by rewrite defM mulmxDr mulmx1 addrK.
have rank_pq (p : 'cV[F]_n) (q : 'rV[F]_n) b : (\rank ((1%:M + b *: (p *m q) - 1%:M)%R) <= 1)%N.
  rewrite addrC addKr; apply: leq_trans (mxrank_scale _ _) _.
  exact: leq_trans (mxrankM_maxl _ _) (rank_leq_col _).
have row_nz m (A B : 'M[F]_(n, m)) : A != 0 -> B != 0 -> exists y : 'rV_n, y *m A != 0 /\ y *m B != 0.
  rewrite -(inj_eq (@trmx_inj _ _ _)) trmx0 => A0; rewrite -(inj_eq (@trmx_inj _ _ _)) trmx0 => B0.
  case: (common_vector A0 B0) => y [Ay By]; exists y^T.
  by split; rewrite -(inj_eq (@trmx_inj _ _ _)) trmx0 trmx_mul trmxK.
have scal (A : 'M[F]_1) : A != 0 -> exists2 c, A = c%:M & c != 0.
  move=> A0; exists (A 0 0); first exact: mx11_scalar.
  by apply: contraNneq A0 => A00; rewrite [A]mx11_scalar A00 raddf0.
case: (eqVneq (N *m M) 0) => [NM0 | NMn0].
- have [x [Nx _]] := common_vector N0 N0; have [y [yNx _]] := row_nz _ _ _ Nx Nx.
  have [d yNxd d0] := scal _ yNx; rewrite mulmxA in yNxd.
  exists (M - d^-1 *: (N *m x *m (y *m N))), (1%:M + d^-1 *: (N *m x *m (y *m N))); split=> //.
  + have qp : y *m N *m (N *m x) = (- d)%:M.
      by rewrite -mulmxA (mulmxA N) NN NM0 sub0r mulNmx mulmxN mulmxA yNxd raddfN.
    rewrite (rank_one_mul _ _ _ _ qp) !mulmxA -NM NM0 !mul0mx scaler0 addr0.
    by rewrite mulrN -mulrA mulVf // mulr1 subrr scale0r subr0.
  + by rewrite addrAC defN; apply: wedderburn.
have [x [Nx NMx]] := common_vector N0 NMn0; have [y [yNx yNMx]] := row_nz _ _ _ Nx NMx.
have [d yNxd d0] := scal _ yNx; have [c yNMxc c0] := scal _ yNMx.
rewrite !mulmxA in yNxd yNMxc.
exists (M - c^-1 *: (N *m (M *m x) *m (y *m N))), (1%:M + d^-1 *: (N *m x *m (y *m N))); split=> //.
+ have qp : y *m N *m (N *m x) = (c - d)%:M.
    by rewrite -mulmxA (mulmxA N) NN mulmxBl mulmxBr !mulmxA yNxd yNMxc raddfB.
  rewrite (rank_one_mul _ _ _ _ qp) !mulmxA NM -addrA -scalerBl.
  suff -> : d^-1 - (c^-1 + c^-1 / d * (c - d)) = 0 by rewrite scale0r addr0.
  by rewrite mulrBr mulfVK // mulrAC mulVf // mul1r addrCA subrr addr0 subrr.
+ by rewrite addrAC defN; apply: wedderburn => //; rewrite mulmxA.
Qed.

(* R factors at once *)
Lemma peel R M : exists M' G, [/\ M = M' *m G,
  (\rank ((G - 1%:M)%R) <= R)%N & (\rank ((M' - 1%:M)%R) <= \rank ((M - 1%:M)%R) - R)%N].
Proof.
elim: R M => [|R IH] M; first by exists M, 1%:M; rewrite mulmx1 subrr mxrank0 subn0.
case: (eqVneq (M - 1%:M) 0) => [M1|/peel_one[M1 [G1 [-> G1r M1r]]]].
  by exists M, 1%:M; rewrite mulmx1 subrr mxrank0 M1 mxrank0.
have [M' [G [defM1 Gr M'r]]] := IH M1; exists M', (G *m G1); split; first by rewrite mulmxA -defM1.
  have -> : G *m G1 - 1%:M = (G - 1%:M) *m G1 + (G1 - 1%:M) by rewrite mulmxBl mul1mx addrA subrK.
  rewrite -addn1; apply: leq_trans (mxrank_add _ _) (leq_add _ G1r).
  exact: leq_trans (mxrankM_maxl _ _) Gr.
apply: leq_trans M'r _; rewrite -(add1n R) subnDA leq_sub2r // subn1.
by rewrite -ltnS (ltn_predK M1r).
Qed.

(* Lemma 1 of Zeng & Lee, strengthened: no condition on T or on truncations of T - chain Ws. *)
Theorem lemma1_exists Ws Rs T : size Ws = size Rs -> all (fun W => W \in unitmx) Ws ->
  (\rank ((T - chain Ws)%R) <= sumn Rs)%N ->
  exists2 Ds, ranks_le Ds Rs & chain (adapted Ws Ds) = T.
Proof.
elim: Ws Rs T => [|W Ws IH] [|R Rs] //= T.
  by move=> _ _; rewrite leqn0 mxrank_eq0 subr_eq0 => /eqP ->; exists [::].
move=> [eq_sz] /andP[Wu Wsu] rT.
have Pu : chain Ws \in unitmx.
  by elim: Ws Wsu {IH eq_sz rT} => [|V Ws IH] /=; rewrite ?unitmx1 // unitmx_mul => /andP[-> /IH->].
have rk_unit (A B C : 'M[F]_n) : A \in unitmx -> C \in unitmx -> \rank (A *m B *m C) = \rank B.
  by move=> Au Cu; rewrite mxrankMfree ?row_free_unit // -mxrank_tr trmx_mul mxrankMfree ?mxrank_tr // row_free_unit unitmx_tr.
have [M' [G [defM Gr M'r]]] := peel R (invmx (chain Ws) *m T *m invmx W).
have [|Ds Dr defT] := IH Rs (chain Ws *m M') eq_sz Wsu.
  rewrite -{2}(mulmx1 (chain Ws)) -mulmxBr -[X in \rank X]mulmx1 rk_unit ?unitmx1 //.
  apply: leq_trans M'r _; rewrite leq_subLR; apply: leq_trans rT.
  rewrite -(rk_unit (chain Ws) _ W) // mulmxBr mulmxBl !mulmxA mulmxV // mul1mx.
  by rewrite mulmxKV // mulmx1.
exists ((G - 1%:M) *m W :: Ds) => /=.
  by rewrite Dr andbT; apply: leq_trans (mxrankM_maxl _ _) Gr.
rewrite -/(adapted Ws Ds) defT mulmxBl mul1mx addrC subrK mulmxA -(mulmxA (chain Ws) M' G) -defM.
by rewrite !mulmxA mulmxV // mul1mx mulmxKV.
Qed.

Theorem lemma1_iff Ws Rs T : size Ws = size Rs -> all (fun W => W \in unitmx) Ws ->
  (exists2 Ds, ranks_le Ds Rs & chain (adapted Ws Ds) = T) <->
  (\rank ((T - chain Ws)%R) <= sumn Rs)%N.
Proof.
move=> eq_sz Wsu; split=> [[Ds Dr <-]|]; last exact: lemma1_exists.
by apply: leq_trans (rank_change _) (ranks_le_sum Dr); rewrite (ranks_le_size Dr).
Qed.

End Peel.
