(** * Global minima of small rank: Theorem 3.1 of Jang, Lee and Ryu

    - [symmetric_null]: d < k(k+1)/2 linear functionals vanish together on some
      nonzero symmetric k x k matrix (the count of Barvinok and Pataki).
      differs: over every field.
    - [theorem31_full]: if the risk phi(<G_1, u v^T>, ..., <G_d, u v^T>) +
      lam (|u|^2 + |v|^2) has a global minimum among factors of all widths, then it has one of
      width r with r(r+1)/2 <= d.
      differs: phi is an arbitrary function of d functionals, lam any number (the
      paper's lam / 2); that a minimum exists is assumed; every real closed field. *)
From mathcomp Require Import all_ssreflect all_algebra.
From LoraProofs Require Import compat vectors spectral landscape.
Set Implicit Arguments. Unset Strict Implicit. Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Count.
Variable F : fieldType.

(** more unknowns than equations *)
Lemma nullvec (I J : finType) (A : I -> J -> F) : (#|J| < #|I|)%N ->
  exists2 c : I -> F, exists i, c i != 0 & forall j, \sum_i c i * A i j = 0.
Proof.
move=> JI; pose M : 'M[F]_(#|I|, #|J|) := \matrix_(i, j) A (enum_val i) (enum_val j).
have: kermx M != 0.
  rewrite -mxrank_eq0 mxrank_ker subn_eq0 -ltnNge.
  exact: leq_ltn_trans (rank_leq_col _) JI.
case/rowV0Pn=> c /sub_kermxP cM c0; exists (fun i => c 0 (enum_rank i)).
  have /existsP[i ci] : [exists i, c 0 i != 0].
    by apply: contraNT c0; rewrite negb_exists => /forallP h; apply/eqP/rowP=> i; move: (h i); rewrite negbK mxE => /eqP.
  by exists (enum_val i); rewrite enum_valK.
move=> j; move/rowP/(_ (enum_rank j)): cM; rewrite !mxE => cM; rewrite -[RHS]cM.
rewrite (reindex _ (onW_bij _ (enum_val_bij I))) /=; apply: eq_bigr => i _.
by rewrite enum_valK mxE enum_rankK.
Qed.

Variable k : nat.
Notation upper := {p : 'I_k * 'I_k | (p.1 <= p.2)%N}.

Lemma card_upper : #|{: upper}| = ('C(k.+1, 2))%N.
Proof.
rewrite card_sig -sum1_card (eq_bigl (fun p : 'I_k * 'I_k => true && (p.1 <= p.2)%N)) //.
rewrite -(pair_big_dep xpredT (fun i j : 'I_k => (i <= j)%N) (fun _ _ => 1%N)) /=.
rewrite (exchange_big_dep xpredT) //= (eq_bigr (fun j : 'I_k => (val j).+1)); last first.
  move=> j _; rewrite (eq_bigl (fun i : 'I_k => (i < j.+1)%N)) //.
  by rewrite -(big_ord_widen k (fun _ => 1%N)) ?ltn_ord // sum1_card card_ord.
by elim: (k) => [|k' IH]; rewrite ?big_ord0 // big_ord_recr /= IH [RHS]binS bin1 addnC.
Qed.

(** Barvinok-Pataki: a nonzero symmetric matrix that d linear functionals do not see *)
Theorem symmetric_null d (f : 'I_d -> 'M[F]_k) : (d < 'C(k.+1, 2))%N ->
  exists S : 'M[F]_k, [/\ S^T = S, S != 0 & forall l, \tr (f l *m S) = 0].
Proof.
move=> dk; pose E (p : upper) : 'M[F]_k := \matrix_(i, j) ((val p == (i, j)) || (val p == (j, i)))%:R.
have [|c [p cp] cf] := @nullvec _ _ (fun (p : upper) (l : 'I_d) => \tr (f l *m E p)).
  by rewrite card_upper card_ord.
exists (\sum_p c p *: E p); split.
- rewrite raddf_sum; apply: eq_bigr => q _; apply/matrixP=> i j; rewrite !mxE; congr (_ * _%:R).
  by rewrite orbC.
- apply: contraNneq cp => /matrixP/(_ (val p).1 (val p).2); rewrite mxE summxE => <-.
  rewrite (bigD1 p) //= !mxE -surjective_pairing eqxx mulr1 big1 ?addr0 // => q qp.
  rewrite !mxE -surjective_pairing; case: eqP => [/val_inj e|_]; first by rewrite e eqxx in qp.
  case: eqP => [e|_]; last by rewrite mulr0.
  have le1 := valP p; have := valP q; rewrite /= in le1 *; rewrite e /= => le2.
  have e12 : (val p).1 = (val p).2 by apply/val_inj/eqP; rewrite eqn_leq le1.
  by case/eqP: qp; apply: val_inj; rewrite e [RHS]surjective_pairing e12.
move=> l; rewrite mulmx_sumr raddf_sum /= -[RHS](cf l); apply: eq_bigr => q _.
by rewrite -scalemxAr mxtraceZ.
Qed.
End Count.

Section Theorem31.
Variables (F : rcfType) (m n d : nat) (G : 'I_d -> 'M[F]_(m, n)) (phi : 'rV[F]_d -> F) (lam : F).

(** the loss sees an update only through d linear functionals *)
Definition risk r (u : 'M[F]_(m, r)) (v : 'M[F]_(n, r)) : F :=
  phi (feat G (u *m v^T)) + lam * (inner u u + inner v v).

(** the spectral theorem, for one size *)
Definition spectral k := forall S : 'M[F]_k, S^T = S ->
  exists (W : 'M[F]_k) (e : 'rV[F]_k), W^T *m W = 1%:M /\ S = W *m diag_mx e *m W^T.

Lemma ip_tr p q (a : 'M[F]_(p, q)) : inner a a = \tr (a *m a^T).
Proof. by rewrite /inner mxtrace_mulC. Qed.

Lemma drop_col k p q (a : 'M[F]_(p, k.+1)) (b : 'M[F]_(q, k.+1)) j : col j a = 0 ->
  col' j a *m (col' j b)^T = a *m b^T.
Proof.
move=> aj; apply/matrixP=> x y; rewrite !mxE [RHS](bigD1_ord j) //=.
move/colP/(_ x): aj; rewrite !mxE => ->; rewrite mul0r add0r.
by apply: eq_bigr => i _; rewrite !mxE.
Qed.

(** one step of the reduction *)
Lemma reduce k (u : 'M[F]_(m, k.+1)) (v : 'M[F]_(n, k.+1)) : spectral k.+1 ->
  (forall r (u' : 'M[F]_(m, r)) (v' : 'M[F]_(n, r)), risk u v <= risk u' v') ->
  (d < 'C(k.+2, 2))%N -> exists (u' : 'M[F]_(m, k)) (v' : 'M[F]_(n, k)), risk u' v' = risk u v.
Proof.
move=> sp opt dk; have [S [Ss S0 Sf]] := symmetric_null (fun l => v^T *m (G l)^T *m u) dk.
have [W [e [WW SE]]] := sp S Ss.
have WW' : W *m W^T = 1%:M by apply: mulmx1C.
have [j _ jmax'] := @arg_maxP _ _ _ (0 : 'I_k.+1) xpredT (fun i => `|e 0 i|) isT.
have jmax i : `|e 0 i| <= `|e 0 j| := jmax' i isT.
have ej : e 0 j != 0.
  apply: contraNneq S0 => ej; rewrite SE (_ : diag_mx e = 0) ?mulmx0 ?mul0mx //.
  have e0 i : e 0 i = 0 by apply/eqP; rewrite -normr_le0 -(normr0 F) -ej jmax.
  by apply/matrixP=> x y; rewrite !mxE e0 mul0rn.
(** both I + t S and I - t S have square roots, t = 1 / e_j *)
pose c (s : F) : 'rV[F]_k.+1 := \row_i Num.sqrt (1 + s * (e 0 i / e 0 j)).
pose R s := W *m diag_mx (c s).
have RR s : `|s| = 1 -> R s *m (R s)^T = 1%:M + (s / e 0 j) *: S.
  move=> s1; rewrite /R trmx_mul tr_diag_mx mulmxA -(mulmxA W) mulmx_diag.
  have -> : diag_mx (\row_i (c s 0 i * c s 0 i)) = 1%:M + (s / e 0 j) *: diag_mx e.
    apply/matrixP=> x y; rewrite !mxE -expr2 sqr_sqrtr.
      by rewrite mulrnDl mulrnAr; congr (_ + _ *+ _); rewrite mulrA mulrAC.
    rewrite -lerBlDl sub0r lerNl; apply: le_trans (ler_norm _) _.
    by rewrite normrN normrM s1 mul1r normf_div ler_pdivrMr ?normr_gt0 // mul1r jmax.
  by rewrite mulmxDr mulmx1 mulmxDl WW' -scalemxAr -scalemxAl -SE.
have cj : c (-1) 0 j = 0 by rewrite mxE divff // mulN1r subrr sqrtr0.
have col0 p (a : 'M[F]_(p, k.+1)) : col j (a *m R (-1)) = 0.
  rewrite /R mulmxA; apply/colP=> x; rewrite !mxE big1 // => y _.
  by rewrite [diag_mx _ _ _]mxE; case: eqP => [->|_]; rewrite ?cj ?mul0rn ?mulr0n mulr0.
clearbody R.
have fitE s : `|s| = 1 -> feat G (u *m R s *m (v *m R s)^T) = feat G (u *m v^T).
  move=> s1; rewrite trmx_mul mulmxA -(mulmxA u) RR // mulmxDr mulmx1 mulmxDl featD.
  rewrite -scalemxAr -scalemxAl; suff -> : feat G ((s / e 0 j) *: (u *m S *m v^T)) = 0 by rewrite addr0.
  apply/rowP=> l; rewrite !mxE innerZr; apply/eqP; rewrite mulf_eq0; apply/orP; right; apply/eqP.
  by rewrite -[RHS](Sf l) /inner mulmxA mxtrace_mulC !mulmxA.
pose tau := \tr (u *m S *m u^T) + \tr (v *m S *m v^T).
have regE s : `|s| = 1 -> inner (u *m R s) (u *m R s) + inner (v *m R s) (v *m R s)
    = inner u u + inner v v + s / e 0 j * tau.
  move=> s1; rewrite !ip_tr !trmx_mul !mulmxA -(mulmxA u) -(mulmxA v) RR //.
  rewrite !mulmxDr !mulmx1 !mulmxDl -!scalemxAr -!scalemxAl !mxtraceD !mxtraceZ.
  by rewrite addrACA mulrDr.
have riskE s : `|s| = 1 -> risk (u *m R s) (v *m R s) = risk u v + lam * (s / e 0 j * tau).
  by move=> s1; rewrite /risk fitE // regE // [lam * (_ + _ * tau)]mulrDr addrA.
have n1 : `|1 : F| = 1 by rewrite normr1.
have nN1 : `|-1 : F| = 1 by rewrite normrN1.
have lt0 : lam * (1 / e 0 j * tau) = 0.
  apply/eqP; rewrite eq_le; apply/andP; split; last first.
    by have := opt _ (u *m R 1) (v *m R 1); rewrite riskE // lerDl.
  have := opt _ (u *m R (-1)) (v *m R (-1)); rewrite riskE // lerDl.
  by rewrite !mulNr mulrN oppr_ge0.
exists (col' j (u *m R (-1))), (col' j (v *m R (-1))).
rewrite -[RHS]addr0 -[X in _ = _ + X]oppr0 -lt0 -mulrN -!mulNr -riskE // /risk.
by rewrite !ip_tr !drop_col.
Qed.

(** Theorem 3.1: if a global minimiser exists, then one of rank r with r(r+1)/2 <= d exists *)
Theorem theorem31 k (u : 'M[F]_(m, k)) (v : 'M[F]_(n, k)) : (forall k', spectral k') ->
  (forall r (u' : 'M[F]_(m, r)) (v' : 'M[F]_(n, r)), risk u v <= risk u' v') ->
  exists r (u' : 'M[F]_(m, r)) (v' : 'M[F]_(n, r)), ('C(r.+1, 2) <= d)%N /\ risk u' v' = risk u v.
Proof.
move=> sp; elim: k u v => [|k IH] u v opt; first by exists 0%N, u, v.
case: (leqP 'C(k.+2, 2) d) => [le|lt]; first by exists k.+1, u, v.
have [u1 [v1 e1]] := reduce (sp _) opt lt.
have [|r [u' [v' [le e']]]] := IH u1 v1; first by move=> r u' v'; rewrite e1; apply: opt.
by exists r, u', v'; rewrite e' e1.
Qed.
End Theorem31.

(** Theorem 3.1 of Jang, Lee & Ryu over any real closed field, without a premise *)
Theorem theorem31_full (F : rcfType) (m n d : nat) (G : 'I_d -> 'M[F]_(m, n)) (phi : 'rV[F]_d -> F) (lam : F)
    k (u : 'M[F]_(m, k)) (v : 'M[F]_(n, k)) :
  (forall r (u' : 'M[F]_(m, r)) (v' : 'M[F]_(n, r)), risk G phi lam u v <= risk G phi lam u' v') ->
  exists r (u' : 'M[F]_(m, r)) (v' : 'M[F]_(n, r)), ('C(r.+1, 2) <= d)%N /\ risk G phi lam u' v' = risk G phi lam u v.
Proof. by apply: theorem31 => k' S; apply: LoraProofs.spectral.spectral. Qed.
