(* Instances checked by computation.                                                                                  *)
(*                                                                                                                    *)
(* Rational matrices are lists of rows over Q, and the kernel evaluates the checks below on data that another program *)
(* has written down (lora-proofs prove LABEL --to FILE.v). An adapter is a pair of factors (B, A) of k columns and k  *)
(* rows, so that its rank is at most k. What the checks establish:                                                    *)
(*   lemma1_holds   the adapters have the ranks, and the adapted layers multiply to the target;                       *)
(*   theorem3_holds the adapters have the ranks, every layer of a block but the last is active on the whole box that  *)
(*                  the block's inputs lie in, and the block's pre-activations are those of its target layer, so that *)
(*                  the adapted network equals the target on the box, not only at some of its points;                 *)
(*   theorem7_holds the adapters have the ranks, W_1 and the inner W_2 are frozen, and the identities between the      *)
(*                  products of the two transformers hold, which `transformer.certified` turns into equal outputs.    *)
From Coq Require Import List Bool Arith ZArith QArith.
Import ListNotations.

(* ------------------------------------------------------------------------------------ linear algebra over Q *)

Definition matrix := list (list Q).
Definition column := list Q.

Fixpoint dot (x y : list Q) : Q :=
  match x, y with a :: x', b :: y' => Qred (a * b + dot x' y') | _, _ => 0 end.
Definition plus (x y : list Q) : list Q := map (fun p => Qred (fst p + snd p)) (combine x y).
Definition times (A : matrix) (x : column) : column := map (fun row => dot row x) A.
Definition transpose (n : nat) (A : matrix) : matrix := map (fun j => map (fun row => nth j row 0) A) (seq 0 n).
Definition mul (n : nat) (A B : matrix) : matrix :=    (* n: the number of columns of B *)
  let columns := transpose n B in map (fun row => map (dot row) columns) A.
Definition add (A B : matrix) : matrix := map (fun p => plus (fst p) (snd p)) (combine A B).
Definition identity (n : nat) : matrix := map (fun i => map (fun j => if i =? j then 1 else 0) (seq 0 n)) (seq 0 n).

Fixpoint all2 {S T : Type} (r : S -> T -> bool) (s : list S) (t : list T) : bool :=
  match s, t with
  | [], [] => true
  | a :: s', b :: t' => r a b && all2 r s' t'
  | _, _ => false
  end.
Definition same_column : column -> column -> bool := all2 Qeq_bool.
Definition same : matrix -> matrix -> bool := all2 same_column.
Definition shape (m n : nat) (A : matrix) : bool := (length A =? m) && forallb (fun row => length row =? n) A.

(* ------------------------------------------------------------------------------------------------- adapters *)

Definition adapter := (matrix * matrix)%type.
Definition rank_at_most (n : nat) (R : nat) (D : adapter) : bool :=
  let k := length (snd D) in (k <=? R) && shape n k (fst D) && shape k n (snd D).
Definition delta (n : nat) (D : adapter) : matrix := mul n (fst D) (snd D).
Definition adapted (n : nat) (W : matrix) (D : adapter) : matrix := add W (delta n D).
Definition adapted_all (n : nat) (Ws : list matrix) (Ds : list adapter) : list matrix :=
  map (fun p => adapted n (fst p) (snd p)) (combine Ws Ds).

(* ---------------------------------------------------------------------------------- Lemma 1: linear chains *)

Fixpoint chain (n : nat) (Ws : list matrix) : matrix :=
  match Ws with [] => identity n | W :: Ws' => mul n (chain n Ws') W end.

Definition lemma1_holds (n : nat) (frozen : list matrix) (target : matrix) (ranks : list nat) (Ds : list adapter) :=
  forallb (shape n n) frozen && shape n n target && (length frozen =? length Ds) &&
  all2 (rank_at_most n) ranks Ds && same (chain n (adapted_all n frozen Ds)) target.

(* -------------------------------------------------------------------------------- Theorem 3: ReLU networks *)

Definition layer := (matrix * column)%type.
Definition box := list (Q * Q).     (* the least and the greatest value of every coordinate *)

Definition least (row : list Q) (X : box) : Q :=
  fold_right (fun p s => Qred (fst p * (if Qle_bool 0 (fst p) then fst (snd p) else snd (snd p)) + s)) 0 (combine row X).
Definition greatest (row : list Q) (X : box) : Q :=
  fold_right (fun p s => Qred (fst p * (if Qle_bool 0 (fst p) then snd (snd p) else fst (snd p)) + s)) 0 (combine row X).
Definition positive_part (q : Q) : Q := if Qle_bool 0 q then q else 0.

(* P x + c are the pre-activations before the layers; every layer but the last is active on the box X *)
Fixpoint imitates (n : nat) (X : box) (P : matrix) (c : column) (layers : list layer) (goal : layer) : bool :=
  match layers with
  | [] => false
  | (W, b) :: rest =>
      let P' := mul n W P in
      let c' := plus (times W c) b in
      match rest with
      | [] => same P' (fst goal) && same_column c' (snd goal)
      | _ => forallb (fun p => Qle_bool 0 (Qred (least (fst p) X + snd p))) (combine P' c') && imitates n X P' c' rest goal
      end
  end.

Definition after (X : box) (goal : layer) : box :=
  map (fun p => (positive_part (Qred (least (fst p) X + snd p)), positive_part (Qred (greatest (fst p) X + snd p))))
    (combine (fst goal) (snd goal)).

Fixpoint blocks_imitate (n : nat) (X : box) (blocks : list (list layer)) (goals : list layer) : bool :=
  match blocks, goals with
  | [], [] => true
  | layers :: blocks', goal :: goals' =>
      imitates n X (identity n) (repeat 0 n) layers goal && blocks_imitate n (after X goal) blocks' goals'
  | _, _ => false
  end.

Fixpoint cut {T : Type} (sizes : list nat) (s : list T) : list (list T) :=
  match sizes with [] => [] | k :: sizes' => firstn k s :: cut sizes' (skipn k s) end.

Definition theorem3_holds (n : nat) (X : box) (sizes : list nat) (frozen : list matrix) (target : list layer)
    (R : nat) (Ds : list adapter) (biases : list column) :=
  (length X =? n) && forallb (shape n n) frozen && (fold_right Nat.add 0%nat sizes =? length frozen) &&
  forallb (fun l => shape n n (fst l) && (length (snd l) =? n)) target &&
  (length Ds =? length frozen) && forallb (rank_at_most n R) Ds &&
  (length biases =? length frozen) && forallb (fun b => length b =? n) biases &&
  blocks_imitate n X (cut sizes (combine (adapted_all n frozen Ds) biases)) target.

(* ------------------------------------------------------------------------------- Theorem 7: transformers *)

Record head (T : Type) := Head { queries : T; keys : T; values : T; outputs : T }.
Arguments Head {T}. Arguments queries {T}. Arguments keys {T}. Arguments values {T}. Arguments outputs {T}.
Record block := Block { heads : list (head matrix); W1 : matrix; b1 : column; W2 : matrix; b2 : column }.

Definition shapes (n : nat) (B : block) : bool :=
  forallb (fun h => shape n n (queries h) && shape n n (keys h) && shape n n (values h) && shape n n (outputs h)) (heads B) &&
  shape n n (W1 B) && shape n n (W2 B) && (length (b1 B) =? n) && (length (b2 B) =? n).

Definition head_adapted (n R : nat) (old : head matrix) (D : head adapter) (new : head matrix) : bool :=
  rank_at_most n R (queries D) && rank_at_most n R (keys D) && rank_at_most n R (values D) &&
  rank_at_most n R (outputs D) && same (adapted n (queries old) (queries D)) (queries new) &&
  same (adapted n (keys old) (keys D)) (keys new) && same (adapted n (values old) (values D)) (values new) &&
  same (adapted n (outputs old) (outputs D)) (outputs new).

(* the tokens of the target are C times those of the adapted network *)
Definition heads_agree (n : nat) (C : matrix) (new goal : block) : bool :=
  all2 (fun h g =>
      same (mul n (transpose n (keys h)) (queries h))
        (mul n (transpose n C) (mul n (mul n (transpose n (keys g)) (queries g)) C)) &&
      same (mul n (W1 new) (mul n (outputs h) (values h)))
        (mul n (mul n (W1 goal) (mul n (outputs g) (values g))) C)) (heads new) (heads goal) &&
  same_column (b1 new) (b1 goal).

Fixpoint heads_all_adapted (n R : nat) (old : list (head matrix)) (Ds : list (head adapter)) (new : list (head matrix)) :=
  match old, Ds, new with
  | [], [], [] => true
  | o :: old', D :: Ds', w :: new' => head_adapted n R o D w && heads_all_adapted n R old' Ds' new'
  | _, _, _ => false
  end.

(* Cs: for every block but the last, the C of the block after it; on_W2, on_Wo: the adapters of the last products *)
Fixpoint agree (n R : nat) (C : matrix) (Cs : list matrix) (old new goal : list block) (Ds : list (list (head adapter)))
    (on_W2 on_Wo : adapter) (Wo Wo' Wog : matrix) : bool :=
  match old, new, goal, Ds with
  | [o], [w], [g], [D] =>
      shapes n o && shapes n w && shapes n g &&
      heads_all_adapted n R (heads o) D (heads w) && same (W1 o) (W1 w) && heads_agree n C w g &&
      rank_at_most n R on_W2 && same (adapted n (W2 o) on_W2) (W2 w) &&
      rank_at_most n R on_Wo && same (adapted n Wo on_Wo) Wo' &&
      same (mul n Wo' (W2 w)) (mul n Wog (W2 g)) && same_column (times Wo' (b2 w)) (times Wog (b2 g))
  | o :: old', w :: new', g :: goal', D :: Ds' =>
      shapes n o && shapes n w && shapes n g &&
      heads_all_adapted n R (heads o) D (heads w) && same (W1 o) (W1 w) && same (W2 o) (W2 w) && heads_agree n C w g &&
      match Cs with
      | [] => false
      | C' :: Cs' =>
          shape n n C' && same (mul n C' (W2 w)) (W2 g) && same_column (times C' (b2 w)) (b2 g) &&
          agree n R C' Cs' old' new' goal' Ds' on_W2 on_Wo Wo Wo' Wog
      end
  | _, _, _, _ => false
  end.

Definition theorem7_holds (n R : nat) (Cs : list matrix) (old new goal : list block) (Ds : list (list (head adapter)))
    (on_W2 on_Wo : adapter) (Wo Wo' Wog : matrix) : bool :=
  shape n n Wo && shape n n Wo' && shape n n Wog &&
  agree n R (identity n) Cs old new goal Ds on_W2 on_Wo Wo Wo' Wog.
