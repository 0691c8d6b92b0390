From mathcomp Require Import all_ssreflect all_algebra.
From LoraProofs Require Import compat chain relu tightness.
Set Implicit Arguments. Unset Strict Implicit. Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Chain.
Variable F : fieldType.

(* control: non-singularity of the frozen weights cannot be dropped *)
Theorem singular_control : ~ exists2 Ds, ranks_le Ds [:: 1%N; 1%N] &
  chain (adapted [:: 0; 0] Ds) = (1%:M : 'M[F]_2).
Proof.
case=> [[|D1 [|D2 [|D3 Ds]]]] //=; try by rewrite /ranks_le /= ?andbF.
rewrite /ranks_le /= => /andP[r1 /andP[r2 _]].
rewrite mul1mx !add0r => defI; have := mxrankM_maxl D2 D1.
by rewrite defI mxrank1 => /leq_trans/(_ r2).
Qed.

(* ... although the rank condition holds *)
Theorem singular_control_rank :
  (\rank ((1%:M - chain [:: 0; 0] : 'M[F]_2)%R) <= sumn [:: 1%N; 1%N])%N.
Proof. exact: rank_leq_row. Qed.

(* control: one rank less is never enough *)
Theorem one_less n (Ws : seq 'M[F]_n) (Rs : seq nat) (T : 'M[F]_n) : size Ws = size Rs ->
  (sumn Rs < \rank ((T - chain Ws)%R))%N ->
  ~ exists2 Ds, ranks_le Ds Rs & chain (adapted Ws Ds) = T.
Proof.
move=> sz lt [Ds Dr defT]; move: lt; rewrite ltnNge -defT => /negP; apply.
by apply: leq_trans (rank_change _) (ranks_le_sum Dr); rewrite (ranks_le_size Dr).
Qed.

(* a concrete instance: frozen identity of the plane, target - I, one layer of rank one (not in characteristic 2) *)
Theorem minus_one_control : 2%:R != 0 :> F ->
  ~ exists2 Ds, ranks_le Ds [:: 1%N] & chain (adapted [:: 1%:M] Ds) = (- 1%:M : 'M[F]_2).
Proof.
move=> two0; apply: one_less => //=.
by rewrite mul1mx -opprD mxrank_opp -mulr2n -scaler_nat (eqmx_scale _ two0) mxrank1.
Qed.

End Chain.

(* control for Lemma 2 / Theorem 3: target relu(-x + 1) in the plane, frozen identity, L layers, ranks summing to 1: impossible on the box |x_i| <= 1,
   whatever the depth *)
Theorem relu_control (F : realFieldType) (L : nat) (Rs : seq nat) (W := nseq L.+1 (1%:M : 'M[F]_2)) :
  size Rs = L.+1 -> (sumn Rs <= 1)%N ->
  ~ exists Ds bs, [/\ ranks_le Ds Rs, size bs = L.+1 &
     forall x, box 0 1 x -> net (zip (adapted W Ds) bs) x = relu (- 1%:M *m x + const_mx 1)].
Proof.
move=> szR sR [Ds [bs [Dr szb netP]]].
have Tu : (- 1%:M : 'M[F]_2) \in unitmx by rewrite -scaleN1r unitmxZ ?unitmx1 // unitrN unitr1.
have act x : box 0 1 x -> forall i, 0 <= (- 1%:M *m x + const_mx 1 : 'cV[F]_2) i 0.
  move=> xb i; rewrite mulNmx mul1mx !mxE addrC subr_ge0.
  by have := xb i; rewrite mxE subr0 => /(le_trans (ler_norm _)).
have [||x xb|_] := @necessary F 2 W Ds bs (- 1%:M) (const_mx 1) 0 1 ltr01 Tu.
- by rewrite (ranks_le_size Dr) size_nseq.
- by rewrite size_nseq.
- by rewrite netP // relu_id //; apply: act.
have -> : chain W = 1%:M by rewrite /W; elim: (L.+1) => //= k ->; rewrite mulmx1.
rewrite -opprD mxrank_opp -mulr2n -scaler_nat (eqmx_scale _ (_ : 2%:R != 0 :> F)) ?pnatr_eq0 // mxrank1.
by move/leq_trans/(_ (ranks_le_sum Dr))/leq_trans/(_ sR).
Qed.
