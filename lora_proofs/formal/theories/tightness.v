(** * The rank threshold is exact: necessity in Lemma 2, and Lemma 4

    - [necessary]: if an adapted network, whatever its biases, is affine with a
      nonsingular matrix T on some box, then its weights multiply to T, and
      rank (T - chain Ws) is at most the sum of the ranks of the adapters.
      differs: no statement of the paper; it is the converse of Lemma 2 and of
      Theorem 3 for targets all of whose neurons are active somewhere.
    - [lemma2_iff]: on a bounded set of inputs that contains a box on which the
      target layer is active, adapters of ranks R_1, ..., R_L that imitate it exist
      if and only if rank (T - chain Ws) <= R_1 + ... + R_L.
      differs: the paper proves "if"; for "only if" T has to be nonsingular and the
      inputs have to contain a box on which every neuron of the target is active.
    - [lemma4]: with a frozen first layer nothing that follows can give the target
      on the whole space.
      differs: stated on all of R^n for one target layer; W1 is nonsingular and some
      row of T W1^-1 has two entries that are not zero (a row with one entry may
      well be imitated).

    No topology is needed: an affine function keeps one sign on a smaller box
    ([sub_sign]), there each ReLU is an idempotent matrix ([sub_relu]), and an
    idempotent factor of a nonsingular product is the identity ([masked_unit]). *)
From mathcomp Require Import all_ssreflect all_algebra.
From LoraProofs Require Import compat chain relu.
Set Implicit Arguments. Unset Strict Implicit. Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Tight.
Variables (F : realFieldType) (n : nat).
Implicit Types (Ws Ds : seq 'M[F]_n) (x b c : 'cV[F]_n) (r : F) (a : 'rV[F]_n).

(** the closed box of radius [r] around [c] *)
Definition box c r : 'cV[F]_n -> Prop := fun x => forall i, `|x i 0 - c i 0| <= r.

(** an affine function *)
Definition affine a (k : F) x : F := (a *m x) 0 0 + k.

Lemma affineD a k x y : affine a k (x + y) = affine a k x + (a *m y) 0 0.
Proof. by rewrite /affine mulmxDr mxE addrAC. Qed.

Lemma affineN a k x : affine (- a) (- k) x = - affine a k x.
Proof. by rewrite /affine mulNmx mxE opprD. Qed.

Lemma affine_near a k c r x : 0 <= r -> box c r x -> `|affine a k x - affine a k c| <= r * \sum_i `|a 0 i|.
Proof.
move=> r0 xr; rewrite /affine opprD addrACA subrr addr0 !mxE -sumrB mulr_sumr.
apply: le_trans (ler_norm_sum _ _ _) _; apply: ler_sum => i _.
by rewrite -mulrBr normrM mulrC ler_wpM2r.
Qed.

Lemma sub_pos a k c r : 0 < r -> 0 < affine a k c ->
  exists2 r', 0 < r' <= r & forall x, box c r' x -> 0 <= affine a k x.
Proof.
move=> r0 v0; pose S := \sum_i `|a 0 i|; have S0 : 0 <= S by apply: sumr_ge0.
have S1 : 0 < S + 1 by rewrite ltr_wpDl ?ltr01.
exists (Num.min r (affine a k c / (S + 1))).
  by rewrite lt_min r0 divr_gt0 //= ge_min lexx.
move=> x; set r' := Num.min _ _ => xr; have r'0 : 0 <= r' by rewrite le_min ltW // divr_ge0 // ltW.
have := affine_near a k r'0 xr; rewrite -/S => /(le_trans (ler_norm _)) => _.
have /(le_trans _) : r' * S <= affine a k c.
  apply: le_trans (_ : affine a k c / (S + 1) * (S + 1) <= _); last by rewrite divfK // gt_eqF.
  apply: ler_pM => //; first by rewrite ge_min lexx orbT.
  by rewrite lerDl.
move/(_ _ (affine_near a k r'0 xr)); rewrite ler_norml => /andP[+ _].
by rewrite -subr_ge0 opprK subrK.
Qed.

(** on some sub-box an affine function has a constant (weak) sign *)
Lemma sub_sign a k c r : 0 < r -> exists c' r', [/\ 0 < r', forall x, box c' r' x -> box c r x &
  (forall x, box c' r' x -> 0 <= affine a k x) \/ (forall x, box c' r' x -> affine a k x <= 0)].
Proof.
move=> r0; have subb r' : r' <= r -> forall x, box c r' x -> box c r x.
  by move=> rr x xr i; apply: le_trans (xr i) rr.
case: (ltrP 0 (affine a k c)) => [v0|v0].
  by have [r' /andP[r'0 rr] xP] := sub_pos r0 v0; exists c, r'; split=> //; [apply: subb | left].
case: (eqVneq a 0) => [a0|/eqP a0].
  exists c, r; split=> //; right=> x _; move: v0; by rewrite /affine a0 !mul0mx mxE.
have [j aj] : exists j, a 0 j != 0.
  apply/existsP; apply: contra_notT a0; rewrite negb_exists => /forallP a0; apply/rowP=> j.
  by move: (a0 j); rewrite negbK mxE => /eqP.
pose c' := c + (- (r / 2%:R * Num.sg (a 0 j))) *: delta_mx j 0.
have r20 : 0 < r / 2%:R by rewrite divr_gt0 ?ltr0n.
have vc' : 0 < affine (- a) (- k) c'.
  rewrite affineN /c' affineD -scalemxAr mxE -colE mxE mulNr opprB ltr_wpDr ?oppr_ge0 //.
  by rewrite -(mulrA (r / 2%:R)) pmulr_rgt0 // -normrEsg normr_gt0.
have [r' /andP[r'0 rr] xP] := sub_pos r20 vc'; exists c', r'; split=> //.
  move=> x xr i; rewrite -[x i 0](subrK (c' i 0)) -addrA; apply: le_trans (ler_normD _ _) _.
  rewrite [X in _ <= X]splitr lerD //; first exact: le_trans (xr i) rr.
  rewrite /c' !mxE addrAC subrr add0r normrM normrN normrM (gtr0_norm r20) normr_sg aj mulr1 eqxx andbT.
  by case: (i == j); rewrite ?normr1 ?normr0 ?mulr1 ?mulr0 // ltW.
right=> x /xP; by rewrite affineN oppr_ge0.
Qed.

(** on some sub-box ReLU acts as an idempotent diagonal matrix *)
Lemma sub_relu (A : 'M[F]_n) b c r : 0 < r -> exists c' r' (D : 'M[F]_n),
  [/\ 0 < r', forall x, box c' r' x -> box c r x, D *m D = D &
      forall x, box c' r' x -> relu (A *m x + b) = D *m (A *m x + b)].
Proof.
move=> r0.
suff: forall s : seq 'I_n, exists c' r' (d : 'rV[F]_n),
  [/\ 0 < r', forall x, box c' r' x -> box c r x, forall i, d 0 i * d 0 i = d 0 i &
      forall x i, box c' r' x -> i \in s -> relu (A *m x + b) i 0 = d 0 i * (A *m x + b) i 0].
  case/(_ (enum 'I_n)) => c' [r' [d [r'0 sub dd dP]]]; exists c', r', (diag_mx d); split=> //.
    by rewrite mulmx_diag; congr diag_mx; apply/rowP=> i; rewrite !mxE dd.
  by move=> x xr; apply/colP=> i; rewrite dP ?mem_enum // mul_diag_mx !mxE.
elim=> [|j s [c1 [r1 [d [r10 sub dd dP]]]]].
  by exists c, r, 0; split=> // i; rewrite mxE mulr0.
have [c' [r' [r'0 sub' sg]]] := sub_sign (row j A) (b j 0) c1 r10.
have vE x : affine (row j A) (b j 0) x = (A *m x + b) j 0.
  by rewrite /affine -row_mul !mxE.
have [e [ee eP]] : exists e : F, e * e = e /\
    forall x, box c' r' x -> relu (A *m x + b) j 0 = e * (A *m x + b) j 0.
  case: sg => sgP; [exists 1; rewrite mulr1 | exists 0; rewrite mulr0]; split=> // x /sgP; rewrite vE => h.
    by rewrite mul1r mxE; apply/max_idPr.
  by rewrite mul0r mxE; apply/max_idPl.
exists c', r', (\row_i (if i == j then e else d 0 i)); split=> //.
- by move=> x /sub'; apply: sub.
- by move=> i; rewrite mxE; case: ifP.
move=> x i xr; rewrite in_cons mxE; case: eqP => [->|_] /= => [_|si]; first exact: eP.
by apply: dP => //; apply: sub'.
Qed.

(** a layer behind each of whose ReLUs an idempotent matrix stands for it *)
Fixpoint masked (Es As : seq 'M[F]_n) : seq 'M[F]_n :=
  if Es is E :: Es' then if As is A :: As' then E *m A :: masked Es' As' else [::] else [::].

(** on some sub-box a network is affine, and its matrix is the product of the masked layers *)
Lemma net_affine (As : seq 'M[F]_n) (bs : seq 'cV[F]_n) (G : 'M[F]_n) g c r :
  0 < r -> size bs = size As ->
  exists c' r' (Es : seq 'M[F]_n) (q : 'cV[F]_n),
  [/\ 0 < r', forall x, box c' r' x -> box c r x, size Es = size As, all (fun E => E *m E == E) Es &
      forall x, box c' r' x -> net (zip As bs) (G *m x + g) = chain (masked Es As) *m (G *m x) + q].
Proof.
elim: As bs G g c r => [|A As IH] [|b bs] //= G g c r r0.
  by move=> _; exists c, r, [::], g; split=> // x _; rewrite /= mul1mx.
move=> [eq_sz]; have [c1 [r1 [D [r10 sub DD DP]]]] := sub_relu (A *m G) (A *m g + b) c r0.
have [c' [r' [Es [q [r'0 sub' sz EE EP]]]]] := IH bs (D *m (A *m G)) (D *m (A *m g + b)) c1 r1 r10 eq_sz.
exists c', r', (D :: Es), q; split=> //=; [by move=> x /sub'; apply: sub | by rewrite sz | by rewrite DD eqxx | ].
move=> x xr; have -> : chain (masked Es As) *m (D *m A) *m (G *m x)
  = chain (masked Es As) *m (D *m (A *m G) *m x) by rewrite !mulmxA.
rewrite -EP //; congr (net _ _); rewrite -(mulmxA D) -mulmxDr.
have -> : A *m (G *m x + g) + b = A *m G *m x + (A *m g + b) by rewrite mulmxDr addrA mulmxA.
by rewrite DP //; apply: sub'.
Qed.

Lemma masked_unit (Es As : seq 'M[F]_n) : size Es = size As -> all (fun E => E *m E == E) Es ->
  chain (masked Es As) \in unitmx -> chain (masked Es As) = chain As.
Proof.
elim: Es As => [|E Es IH] [|A As] //= [sz] /andP[/eqP EE EsE].
rewrite !unitmx_mul => /andP[cu /andP[Eu _]].
have -> : E = 1%:M by rewrite -[LHS](mulKmx Eu) EE mulVmx.
by rewrite mul1mx IH.
Qed.

Lemma affine_inj (P T : 'M[F]_n) (q t : 'cV[F]_n) c r : 0 < r ->
  (forall x, box c r x -> P *m x + q = T *m x + t) -> P = T.
Proof.
move=> r0 eqPT; have eqc : P *m c + q = T *m c + t by apply: eqPT => i; rewrite subrr normr0 ltW.
suff colj j : col j P = col j T.
  by apply/matrixP=> i j; have /colP/(_ i) := colj j; rewrite !mxE.
have := eqPT (c + r *: delta_mx j 0); rewrite !mulmxDr addrAC eqc [X in _ = X]addrAC => /(_ _)/addrI.
rewrite -!scalemxAr -!colE => h; apply: (scalerI (lt0r_neq0 r0)); apply: h => i.
rewrite !mxE addrAC subrr add0r eqxx andbT normrM gtr0_norm //.
by case: (i == j); rewrite ?normr1 ?normr0 ?mulr1 ?mulr0 // ltW.
Qed.

(** Necessity: a network that is affine with a nonsingular matrix on some box *)
Theorem necessary Ws Ds (bs : seq 'cV[F]_n) (T : 'M[F]_n) t c r : 0 < r -> T \in unitmx ->
  size Ds = size Ws -> size bs = size Ws ->
  (forall x, box c r x -> net (zip (adapted Ws Ds) bs) x = T *m x + t) ->
  chain (adapted Ws Ds) = T /\ (\rank (T - chain Ws)%R <= \sum_(D <- Ds) \rank D)%N.
Proof.
move=> r0 Tu szD szb netT.
have szA : size (adapted Ws Ds) = size Ws by apply: size_adapted.
have [|c' [r' [Es [q [r'0 sub sz EE EP]]]]] := @net_affine (adapted Ws Ds) bs 1%:M 0 c r r0; first by rewrite szb.
have defT : chain (masked Es (adapted Ws Ds)) = T.
  apply: (@affine_inj _ _ q t c' r' r'0) => x xr.
  by rewrite -netT; [have := EP x xr; rewrite mul1mx addr0 => -> | exact: sub].
have dT : chain (adapted Ws Ds) = T by rewrite -(masked_unit sz EE) ?defT.
by split=> //; rewrite -dT; apply: rank_change.
Qed.

(** Lemma 2 as an equivalence *)
Theorem lemma2_iff Ws Rs (T : 'M[F]_n) (t : 'cV[F]_n) (X : 'cV[F]_n -> Prop) c r :
  bounded X -> 0 < r -> (forall x, box c r x -> X x) ->
  (forall x, box c r x -> forall i, 0 <= (T *m x + t) i 0) ->
  Ws != [::] -> size Ws = size Rs -> all (fun W => W \in unitmx) Ws -> T \in unitmx ->
  (exists Ds bs, [/\ ranks_le Ds Rs, size bs = size Ws &
     forall x, X x -> net (zip (adapted Ws Ds) bs) x = relu (T *m x + t)]) <->
  (\rank (T - chain Ws)%R <= sumn Rs)%N.
Proof.
move=> Xb r0 cX act Ws0 sz Wsu Tu; split=> [[Ds [bs [Dr szb netT]]]|]; last exact: lemma2.
apply: leq_trans (ranks_le_sum Dr); case: (@necessary Ws Ds bs T t c r) => //.
  by rewrite (ranks_le_size Dr).
by move=> x xr; rewrite netT ?relu_id; [| exact: act | exact: cX].
Qed.
End Tight.

Section Lemma4.
Variables (F : realFieldType) (n : nat).

(** Lemma 4.  The proof moves along the ray y = c e_k - a e_j, a >= 0, on which relu (y) does not change; the
    target does. *)
Theorem lemma4 (W1 T : 'M[F]_n) (b1 t : 'cV[F]_n) (i j k : 'I_n) (g := row i T *m invmx W1)
  (f : 'cV[F]_n -> 'cV[F]_n) : W1 \in unitmx -> j != k -> g 0 j != 0 -> g 0 k != 0 ->
  ~ forall x, f (relu (W1 *m x + b1)) = relu (T *m x + t).
Proof.
move=> Wu jk gj gk h; pose beta := (t - T *m invmx W1 *m b1) i 0.
have hy y : f (relu y) i 0 = Num.max 0 ((g *m y) 0 0 + beta).
  have := h (invmx W1 *m (y - b1)); rewrite mulKVmx // subrK => ->.
  rewrite mxE; congr (Num.max 0 _); rewrite mulmxA mulmxBr -addrA [- _ + t]addrC mxE.
  by congr (_ + _); rewrite /g -!row_mul [RHS]mxE.
clearbody g beta; pose c := (`|g 0 j| *+ 2 + 1 - beta) / g 0 k.
pose y a : 'cV[F]_n := c *: delta_mx k 0 - a *: delta_mx j 0.
have gy a : (g *m y a) 0 0 + beta = `|g 0 j| *+ 2 + 1 - a * g 0 j.
  rewrite mulmxBr -!scalemxAr -!colE !mxE /c divfK // addrAC subrK //.
have ry a : 0 <= a -> relu (y a) = relu (c *: delta_mx k 0).
  move=> a0; apply/colP=> l; rewrite !mxE eqxx !andbT; case: (eqVneq l j) => [->|lj].
    by rewrite (negPf jk) mulr0 mulr1 sub0r [RHS]maxxx; apply/max_idPl; rewrite oppr_le0.
  by rewrite mulr0 subr0.
have := hy (y 2%:R); rewrite ry ?ler0n // -(ry 1) ?ler01 // hy !gy mul1r mulr_natl.
have le1 := ler_norm (g 0 j).
have p1 : 0 <= `|g 0 j| *+ 2 + 1 - g 0 j.
  by rewrite addrAC addr_ge0 // subr_ge0 mulr2n (le_trans le1) // lerDl.
have p2 : 0 <= `|g 0 j| *+ 2 + 1 - g 0 j *+ 2.
  by rewrite addrAC addr_ge0 // subr_ge0 lerMn2r.
move/max_idPr: p1 => ->; move/max_idPr: p2 => -> /addrI/oppr_inj/eqP.
by rewrite mulr2n eq_sym -subr_eq0 addrK (negPf gj).
Qed.
End Lemma4.
