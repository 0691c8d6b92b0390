From mathcomp Require Import all_ssreflect all_algebra.
From LoraProofs Require Import compat.
Set Implicit Arguments. Unset Strict Implicit. Unset Printing Implicit Defensive.
Import GRing.Theory.
Local Open Scope ring_scope.

Section Legat.
Variable F : fieldType.
Implicit Types p u v : {poly F}.

(* Sylvester: coprime u1, u2, degree of u2 exactly d, of u1 at most d: every p of degree <= 2d is u1 v1 + u2 v2 *)
Theorem sylvester d u1 u2 p : coprimep u1 u2 -> (size u1 <= d.+1)%N -> size u2 = d.+1 -> (size p <= (d + d).+1)%N ->
  exists v1 v2, [/\ (size v1 <= d.+1)%N, (size v2 <= d.+1)%N & p = u1 * v1 + u2 * v2].
Proof.
move=> co s1 s2 sp; have u20 : u2 != 0 by rewrite -size_poly_eq0 s2.
have [[w1 w2] /= e] := Bezout_coprimepP _ _ co.
have [c c0 ec] : exists2 c : F, c != 0 & w1 * u1 + w2 * u2 = c%:P.
  by move/eqp_size: (e) => /eqP; rewrite size_poly1 => /size_poly1P.
pose q1 := c^-1 *: (p * w1); pose q2 := c^-1 *: (p * w2).
have pE : p = u1 * q1 + u2 * q2.
  rewrite /q1 /q2 -!scalerAr -scalerDr mulrCA [u2 * _]mulrCA -mulrDr [u1 * _]mulrC [u2 * _]mulrC ec.
  by rewrite mulrC mul_polyC scalerA mulVf // scale1r.
pose v1 := q1 %% u2; pose v2 := q2 + (q1 %/ u2) * u1.
have pE' : p = u1 * v1 + u2 * v2.
  rewrite {1}pE {1}(divp_eq q1 u2) -/v1 /v2 !mulrDr addrAC addrC [_ + u2 * q2]addrC.
  by congr (_ + (_ + _)); rewrite mulrCA [u1 * u2]mulrC mulrCA.
have sv1 : (size v1 <= d)%N by rewrite -ltnS -s2 ltn_modp.
exists v1, v2; split=> //; first exact: leqW sv1.
case: (eqVneq v2 0) => [->|v20]; first by rewrite size_poly0.
have : size (u2 * v2) = (d + size v2)%N by rewrite size_mul // s2.
have -> : u2 * v2 = p - u1 * v1 by rewrite pE' addrC addKr.
move=> sz; rewrite -(leq_add2l d) -sz addnS; apply: leq_trans (size_polyD _ _) _.
rewrite geq_max sp size_polyN; apply: leq_trans (size_polyMleq _ _) _.
apply: leq_trans (leq_pred _) _; apply: leq_trans (leq_add s1 sv1) _.
by rewrite addSn.
Qed.

(* coprime critical points of |u1^2 + u2^2 - p|^2 have residual zero; ip is any definite bilinear form *)
Theorem legat_coprime d u1 u2 p (ip : {poly F} -> {poly F} -> F) :
  (forall q, ip q q = 0 -> q = 0) -> (forall q a b, ip q (a + b) = ip q a + ip q b) ->
  coprimep u1 u2 -> (size u1 <= d.+1)%N -> size u2 = d.+1 -> (size p <= (d + d).+1)%N ->
  (forall v, (size v <= d.+1)%N -> ip (u1 ^+ 2 + u2 ^+ 2 - p) (u1 * v) = 0) ->
  (forall v, (size v <= d.+1)%N -> ip (u1 ^+ 2 + u2 ^+ 2 - p) (u2 * v) = 0) ->
  u1 ^+ 2 + u2 ^+ 2 = p.
Proof.
move=> def add co s1 s2 sp g1 g2; apply/eqP; rewrite -subr_eq0; apply/eqP/def.
set res := _ - p in g1 g2 *.
have size_square (u : {poly F}) : (size u <= d.+1)%N -> (size (u ^+ 2) <= (d + d).+1)%N.
  move=> su; rewrite expr2; apply: leq_trans (size_polyMleq _ _) _.
  by move: (leq_add su su); rewrite addSn addnS; case: (size u + size u)%N.
have sres : (size res <= (d + d).+1)%N.
  apply: leq_trans (size_polyD _ _) _; rewrite size_polyN geq_max sp andbT.
  by apply: leq_trans (size_polyD _ _) _; rewrite geq_max !size_square ?s2.
have [v1 [v2 [h1 h2 e]]] := sylvester co s1 s2 sres.
by rewrite [X in ip _ X]e add g1 // g2 // addr0.
Qed.
End Legat.
