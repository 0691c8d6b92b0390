(** * Linear chains: Lemma 1 of Zeng and Lee, "The expressive power of low-rank adaptation"

    A chain of frozen square matrices [W1, ..., WL], applied in order, has the
    product [chain [:: W1; ...; WL] = WL *m ... *m W1].  An adapter of rank [R]
    for a layer is any matrix [D] of rank at most [R] that is added to it
    ([adapter_iff] in [related] turns it into a product of two thin factors).

    - [rank_change]: adapters change the product by a matrix whose rank is at
      most the sum of their ranks.
      differs: nothing; every field, every size of the matrices.
    - [lemma1_exists]: if every frozen layer is nonsingular and
      rank (T - chain Ws) <= R_1 + ... + R_L, then adapters of ranks at most
      R_1, ..., R_L make the chain equal to T.
    - [lemma1_iff]: for nonsingular frozen layers such adapters exist if and only
      if rank (T - chain Ws) <= R_1 + ... + R_L.
      differs: the paper takes one rank R, real matrices, and asks that truncations
      of the difference, added to the product, stay nonsingular; here every layer has a
      rank of its own, the field is arbitrary (F_2 included), T may be singular
      and no truncation is mentioned.  The error in the spectral norm, when the
      ranks do not suffice, is in [svd].

    The proof does not follow the paper's.  It peels off M = (chain Ws)^-1 T, or
    rather a conjugate of it, one factor I + (rank one) after another, each of
    which lowers the rank of M - I by one ([peel_one]). *)
From mathcomp Require Import all_ssreflect all_algebra.
From LoraProofs Require Import compat vectors.
Set Implicit Arguments. Unset Strict Implicit. Unset Printing Implicit Defensive.
Import GRing.Theory.
Local Open Scope ring_scope.

Section Chain.
Variables (F : fieldType) (n : nat).
Implicit Types (Ws Ds : seq 'M[F]_n) (Rs : seq nat).

Fixpoint chain Ws : 'M[F]_n := if Ws is W :: Ws' then chain Ws' *m W else 1%:M.

(** the layers with their adapters added *)
Definition adapted Ws Ds := [seq layer.1 + layer.2 | layer <- zip Ws Ds].

(** [Ds] is a list of adapters with ranks at most [Rs] *)
Definition ranks_le Ds Rs := all2 (fun (D : 'M[F]_n) R => \rank D <= R)%N Ds Rs.

Lemma ranks_le_size Ds Rs : ranks_le Ds Rs -> size Ds = size Rs.
Proof. by rewrite /ranks_le all2E => /andP[/eqP]. Qed.

Lemma ranks_le_cat Ds1 Ds2 Rs1 Rs2 :
  ranks_le Ds1 Rs1 -> ranks_le Ds2 Rs2 -> ranks_le (Ds1 ++ Ds2) (Rs1 ++ Rs2).
Proof. by elim: Ds1 Rs1 => [|D Ds1 IH] [|R Rs1] //= /andP[-> /IH le1] /le1. Qed.

Lemma ranks_le_sum Ds Rs : ranks_le Ds Rs -> (\sum_(D <- Ds) \rank D <= sumn Rs)%N.
Proof.
elim: Ds Rs => [|D Ds IH] [|R Rs] //=; first by rewrite big_nil.
by case/andP=> dR /IH; rewrite big_cons; apply: leq_add.
Qed.

Lemma size_adapted Ws Ds : size Ds = size Ws -> size (adapted Ws Ds) = size Ws.
Proof. by move=> szD; rewrite size_map size1_zip ?szD. Qed.

Lemma chain_cat Ws Vs : chain (Ws ++ Vs) = chain Vs *m chain Ws.
Proof. by elim: Ws => [|W Ws IH] /=; rewrite ?mulmx1 // IH mulmxA. Qed.

Lemma chain_unit Ws : all (fun W => W \in unitmx) Ws -> chain Ws \in unitmx.
Proof. by elim: Ws => [|W Ws IH] /=; rewrite ?unitmx1 // unitmx_mul => /andP[-> /IH ->]. Qed.

(** what adapters can change *)
Theorem rank_change Ws Ds : size Ws = size Ds ->
  (\rank (chain (adapted Ws Ds) - chain Ws)%R <= \sum_(D <- Ds) \rank D)%N.
Proof.
elim: Ws Ds => [|W Ws IH] [|D Ds] //=; first by rewrite subrr mxrank0.
move=> [eq_sz]; rewrite big_cons mulmxDr.
rewrite (_ : _ - _ = chain (adapted Ws Ds) *m D + (chain (adapted Ws Ds) - chain Ws) *m W); last first.
  by rewrite mulmxBl addrCA addrA.
apply: leq_trans (mxrank_add _ _) _; apply: leq_add; first exact: mxrankM_maxr.
by apply: leq_trans (mxrankM_maxl _ _) _; apply: IH.
Qed.

(** Two nonzero matrices do not vanish on a common vector, over every field: if [A] vanishes on [y] and [B] on
    [x], the sum of both serves. *)
Lemma common_vector m (A B : 'M[F]_(m, n)) : A != 0 -> B != 0 ->
  exists x : 'cV_n, A *m x != 0 /\ B *m x != 0.
Proof.
have nonzero (C : 'M[F]_(m, n)) : C != 0 -> exists x : 'cV_n, C *m x != 0.
  move=> C0; have /existsP[j Cj] : [exists j, col j C != 0].
    apply: contraNT C0; rewrite negb_exists => /forallP Cj; apply/eqP/matrixP=> i j.
    by move: (Cj j); rewrite negbK => /eqP/matrixP/(_ i 0); rewrite !mxE.
  by exists (delta_mx j 0); rewrite -colE.
move=> /nonzero[x Ax] /nonzero[y By].
case: (eqVneq (B *m x) 0) => [Bx|?]; last by exists x.
case: (eqVneq (A *m y) 0) => [Ay|?]; last by exists y.
by exists (x + y); rewrite !mulmxDr Ay Bx addr0 add0r.
Qed.

End Chain.

Section Peel.
Variables (F : fieldType) (n : nat).
Implicit Types (Ws Ds : seq 'M[F]_n) (T M N : 'M[F]_n).

(** Wedderburn's rank reduction *)
Lemma wedderburn N (x : 'cV[F]_n) (y : 'rV[F]_n) (c : F) :
  y *m N *m x = c%:M -> c != 0 ->
  (\rank (N - c^-1 *: (N *m x *m (y *m N)))%R < \rank N)%N.
Proof.
move=> yNx c0; set N' := _ - _; apply: rank_ltmx; rewrite ltmxE; apply/andP; split.
  by rewrite /N' -scaleNr mulmxA scalemxAl -{1}(mul1mx N) -mulmxDl submxMl.
apply/negP=> /submxP[Z defN]; have N'x : N' *m x = 0.
  by rewrite mulmxBl -scalemxAl -mulmxA yNx mul_mx_scalar scalerA mulVf // scale1r subrr.
have Nx : N *m x = 0 by rewrite defN -mulmxA N'x mulmx0.
move: yNx; rewrite -mulmxA Nx mulmx0 => /matrixP/(_ 0 0).
by rewrite !mxE eqxx mulr1n => /esym/eqP; rewrite (negPf c0).
Qed.

Lemma rank_one_mul M (p p' : 'cV[F]_n) (q : 'rV[F]_n) a b e : q *m p = e%:M ->
  (M - a *: (p' *m q)) *m (1%:M + b *: (p *m q))
    = M + b *: (M *m p *m q) - (a + a * b * e) *: (p' *m q).
Proof.
move=> qp; have qpq : q *m (p *m q) = e *: q by rewrite mulmxA qp mul_scalar_mx.
have -> : (a + a * b * e) *: (p' *m q) = a *: (p' *m q) + b *: (a *: (e *: (p' *m q))).
  by rewrite scalerDl !scalerA [a * b]mulrC -!mulrA.
rewrite mulmxDr mulmx1 -scalemxAr mulmxBl -scalemxAl -(mulmxA p') qpq -scalemxAr mulmxA.
by rewrite scalerBr opprD !addrA; congr (_ - _); rewrite addrAC.
Qed.

(** One factor I + (rank one) is split off and the rank of M - I drops.  With N = M - I and vectors x, y such
    that y N x and y N M x are not zero the factor is G = I + (y N x)^-1 N x y N; where N M = 0 (then -N is a
    projection) the scalar y N x serves twice. *)
Lemma peel_one M : M - 1%:M != 0 -> exists M' G, [/\ M = M' *m G,
  (\rank (G - 1%:M)%R <= 1)%N & (\rank (M' - 1%:M)%R < \rank (M - 1%:M)%R)%N].
Proof.
set N := M - 1%:M => N0; have defM : M = N + 1%:M by rewrite subrK.
have defN : M - 1%:M = N by []; clearbody N.
have NM : N *m M = M *m N by rewrite defM mulmxDl mulmxDr mul1mx mulmx1.
have NN : N *m N = N *m M - N by rewrite defM mulmxDr mulmx1 addrK.
have rank_pq (p : 'cV[F]_n) (q : 'rV[F]_n) b : (\rank (1%:M + b *: (p *m q) - 1%:M)%R <= 1)%N.
  rewrite addrC addKr; apply: leq_trans (mxrank_scale _ _) _.
  exact: leq_trans (mxrankM_maxl _ _) (rank_leq_col _).
have row_nonzero m (A B : 'M[F]_(n, m)) : A != 0 -> B != 0 -> exists y : 'rV_n, y *m A != 0 /\ y *m B != 0.
  rewrite -trmx_eq0 => A0; rewrite -trmx_eq0 => B0; have [y [Ay By]] := common_vector A0 B0.
  by exists y^T; split; rewrite -trmx_eq0 trmx_mul trmxK.
have scalar (A : 'M[F]_1) : A != 0 -> exists2 c, A = c%:M & c != 0.
  move=> A0; exists (A 0 0); first exact: mx11_scalar.
  by apply: contraNneq A0 => A00; rewrite [A]mx11_scalar A00 raddf0.
case: (eqVneq (N *m M) 0) => [NM0 | NMn0].
- have [x [Nx _]] := common_vector N0 N0; have [y [yNx _]] := row_nonzero _ _ _ Nx Nx.
  have [d yNxd d0] := scalar _ yNx; rewrite mulmxA in yNxd.
  exists (M - d^-1 *: (N *m x *m (y *m N))), (1%:M + d^-1 *: (N *m x *m (y *m N))); split=> //.
  + have qp : y *m N *m (N *m x) = (- d)%:M.
      by rewrite -mulmxA (mulmxA N) NN NM0 sub0r mulNmx mulmxN mulmxA yNxd raddfN.
    rewrite (rank_one_mul _ _ _ _ qp) !mulmxA -NM NM0 !mul0mx scaler0 addr0.
    by rewrite mulrN -mulrA mulVf // mulr1 subrr scale0r subr0.
  + by rewrite addrAC defN; apply: wedderburn.
have [x [Nx NMx]] := common_vector N0 NMn0; have [y [yNx yNMx]] := row_nonzero _ _ _ Nx NMx.
have [d yNxd d0] := scalar _ yNx; have [c yNMxc c0] := scalar _ yNMx.
rewrite !mulmxA in yNxd yNMxc.
exists (M - c^-1 *: (N *m (M *m x) *m (y *m N))), (1%:M + d^-1 *: (N *m x *m (y *m N))); split=> //.
+ have qp : y *m N *m (N *m x) = (c - d)%:M.
    by rewrite -mulmxA (mulmxA N) NN mulmxBl mulmxBr !mulmxA yNxd yNMxc raddfB.
  rewrite (rank_one_mul _ _ _ _ qp) !mulmxA NM -addrA -scalerBl.
  suff -> : d^-1 - (c^-1 + c^-1 / d * (c - d)) = 0 by rewrite scale0r addr0.
  by rewrite mulrBr mulfVK // mulrAC mulVf // mul1r addrCA subrr addr0 subrr.
+ by rewrite addrAC defN; apply: wedderburn => //; rewrite mulmxA.
Qed.

(** R factors at once *)
Lemma peel R M : exists M' G, [/\ M = M' *m G,
  (\rank (G - 1%:M)%R <= R)%N & (\rank (M' - 1%:M)%R <= \rank (M - 1%:M)%R - R)%N].
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

Lemma rank_unit (A B C : 'M[F]_n) : A \in unitmx -> C \in unitmx -> \rank (A *m B *m C) = \rank B.
Proof.
move=> Au Cu; rewrite mxrankMfree ?row_free_unit //.
by rewrite -mxrank_tr trmx_mul mxrankMfree ?mxrank_tr // row_free_unit unitmx_tr.
Qed.

(** The last factor peeled off becomes the adapter of the first layer; the rest of the chain has to give
    [chain Ws *m M'], so that no product of later layers is ever named. *)
Theorem lemma1_exists Ws Rs T : size Ws = size Rs -> all (fun W => W \in unitmx) Ws ->
  (\rank (T - chain Ws)%R <= sumn Rs)%N ->
  exists2 Ds, ranks_le Ds Rs & chain (adapted Ws Ds) = T.
Proof.
elim: Ws Rs T => [|W Ws IH] [|R Rs] //= T.
  by move=> _ _; rewrite leqn0 mxrank_eq0 subr_eq0 => /eqP ->; exists [::].
move=> [eq_sz] /andP[Wu Wsu] rank_T; have Pu := chain_unit Wsu.
have [M' [G [defM Gr M'r]]] := peel R (invmx (chain Ws) *m T *m invmx W).
have [|Ds Dr defT] := IH Rs (chain Ws *m M') eq_sz Wsu.
  rewrite -{2}(mulmx1 (chain Ws)) -mulmxBr -[X in \rank X]mulmx1 rank_unit ?unitmx1 //.
  apply: leq_trans M'r _; rewrite leq_subLR; apply: leq_trans rank_T.
  rewrite -(@rank_unit (chain Ws) _ W) // mulmxBr mulmxBl !mulmxA mulmxV // mul1mx.
  by rewrite mulmxKV // mulmx1.
exists ((G - 1%:M) *m W :: Ds) => /=.
  by rewrite Dr andbT; apply: leq_trans (mxrankM_maxl _ _) Gr.
rewrite -/(adapted Ws Ds) defT mulmxBl mul1mx addrC subrK mulmxA -(mulmxA (chain Ws) M' G) -defM.
by rewrite !mulmxA mulmxV // mul1mx mulmxKV.
Qed.

Theorem lemma1_iff Ws Rs T : size Ws = size Rs -> all (fun W => W \in unitmx) Ws ->
  (exists2 Ds, ranks_le Ds Rs & chain (adapted Ws Ds) = T) <->
  (\rank (T - chain Ws)%R <= sumn Rs)%N.
Proof.
move=> eq_sz Wsu; split=> [[Ds Dr <-]|]; last exact: lemma1_exists.
by apply: leq_trans (rank_change _) (ranks_le_sum Dr); rewrite (ranks_le_size Dr).
Qed.

End Peel.
