(** * Linear state-space models: a prefix is an initial state

    Galim et al. (arXiv 2410.09016).  h_t = A h_(t-1) + B x_t, y_t = C h_t.
      [prefix_is_initial_state] the outputs after a prefix are those from the
                                state that the prefix leaves, over any ring of
                                coefficients and for every input
      [reachable]               with a diagonal A of distinct entries and one
                                input that excites every coordinate, prefixes of
                                as many tokens as there are states reach every
                                state
    The recursion is the discretised one; Mamba's input-dependent A, B, C are
    outside. *)
From mathcomp Require Import all_ssreflect all_algebra.
Set Implicit Arguments. Unset Strict Implicit. Unset Printing Implicit Defensive.
Import GRing.Theory.
Local Open Scope ring_scope.

Section Model.
Variables (F : fieldType) (H d e : nat) (A : 'M[F]_H) (B : 'M[F]_(H, d)) (C : 'M[F]_(e, H)).
Implicit Types (h : 'cV[F]_H) (x : 'cV[F]_d) (xs prefix : seq 'cV[F]_d).

Definition step h x := A *m h + B *m x.
Definition state h xs := foldl step h xs.
(** the outputs after each of the tokens *)
Definition outputs h xs := [seq C *m g | g <- scanl step h xs].

Theorem prefix_is_initial_state h prefix xs :
  drop (size prefix) (outputs h (prefix ++ xs)) = outputs (state h prefix) xs.
Proof.
by rewrite /outputs scanl_cat map_cat drop_size_cat // size_map size_scanl.
Qed.

Theorem prefix_state h prefix xs : state h (prefix ++ xs) = state (state h prefix) xs.
Proof. exact: foldl_cat. Qed.

End Model.

Section Reach.
Variables (F : fieldType) (H : nat) (a : 'rV[F]_H) (b : 'cV[F]_H).
Hypotheses (distinct : injective (fun i => a 0 i)) (excited : forall i, b i 0 != 0).
Let A := diag_mx a.

(** tokens are scalars; the coordinates of the state that they leave are values of one polynomial *)
Lemma state_coordinate (xs : seq 'cV[F]_1) i :
  state A b 0 xs i 0 = b i 0 * (Poly [seq (x : 'cV[F]_1) 0 0 | x <- rev xs]).[a 0 i].
Proof.
rewrite -[xs in LHS]revK; elim: (rev xs) => [|x ys IH]; first by rewrite /= mxE horner0 mulr0.
rewrite rev_cons /state foldl_rcons -/(state _ _ _ _) /= horner_cons /step mxE mul_diag_mx mxE IH.
by rewrite mxE big_ord1 mulrDr [_ * a 0 i]mulrC mulrCA.
Qed.

Lemma horner_row (c : 'rV[F]_H) x : (rVpoly c).[x] = \sum_k c 0 k * x ^+ k.
Proof. by rewrite /rVpoly horner_poly; apply: eq_bigr => k _; rewrite insubT // => kH; congr (c 0 _ * _); apply: val_inj. Qed.

Theorem reachable (h : 'cV[F]_H) : exists2 xs : seq 'cV[F]_1, size xs = H & state A b 0 xs = h.
Proof.
pose V : 'M[F]_H := \matrix_(k, i) a 0 i ^+ k.
have Vu : V \in unitmx.
  rewrite -row_free_unit -kermx_eq0; apply/eqP/row_matrixP=> l; rewrite row0.
  set c := row l _; have cV0 : c *m V = 0 by rewrite -row_mul mulmx_ker row0.
  have roots : all (root (rVpoly c)) [seq a 0 i | i <- enum 'I_H].
    apply/allP=> _ /mapP[i _ ->]; apply/eqP; rewrite horner_row.
    move/rowP/(_ i): cV0; rewrite !mxE => cV0; rewrite -[RHS]cV0; apply: eq_bigr => k _.
    by rewrite !mxE.
  have [c0|c0] := eqVneq (rVpoly c) 0; first by rewrite -[c]rVpolyK c0 linear0.
  have := max_poly_roots c0 roots _; rewrite map_inj_uniq ?enum_uniq // size_map size_enum_ord => /(_ isT).
  by rewrite ltnNge size_poly.
pose p : 'rV[F]_H := (\row_i (h i 0 / b i 0)) *m invmx V.
exists (rev (mkseq (fun k => ((rVpoly p)`_k)%:M) H)); first by rewrite size_rev size_mkseq.
apply/colP=> i; rewrite state_coordinate revK.
have -> : Poly [seq (x : 'cV[F]_1) 0 0 | x <- mkseq (fun k => ((rVpoly p)`_k)%:M) H] = rVpoly p.
  apply/polyP=> k; rewrite coef_Poly /mkseq -map_comp; case: (ltnP k H) => kH.
    by rewrite (nth_map 0%N) ?size_iota // nth_iota // add0n /= mxE eqxx mulr1n.
  by rewrite !nth_default ?size_map ?size_iota // (leq_trans (size_poly _ _)).
have -> : (rVpoly p).[a 0 i] = (p *m V) 0 i.
  by rewrite horner_row !mxE; apply: eq_bigr => k _; rewrite !mxE.
by rewrite mulmxKV // mxE mulrC divfK.
Qed.

End Reach.
