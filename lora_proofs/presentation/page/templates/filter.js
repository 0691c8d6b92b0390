"use strict";
(() => {
  const form = document.getElementById("filter");
  const field = (name) => document.getElementById(`by-${name}`);
  const claims = [...document.querySelectorAll(".claim")].map((node) => ({
    node, section: node.closest(".paper"), evidence: node.dataset.evidence.split(" "), text: node.textContent.toLowerCase(),
  }));
  const apply = () => {
    const [paper, outcome, evidence] = ["paper", "outcome", "evidence"].map((name) => field(name).value);
    const text = field("text").value.trim().toLowerCase();
    const filled = new Set();
    let count = 0;
    for (const claim of claims) {
      const shown = (!paper || claim.section.id === paper) && (!outcome || claim.node.dataset.outcome === outcome)
        && (!evidence || claim.evidence.includes(evidence)) && (!text || claim.text.includes(text));
      claim.node.hidden = !shown;
      if (shown) { count += 1; filled.add(claim.section); }
    }
    for (const section of document.querySelectorAll(".paper")) section.hidden = !filled.has(section);
    document.getElementById("nothing").hidden = count > 0;
    document.getElementById("count").textContent = `${count} of ${claims.length} claims`;
  };
  form.hidden = false;
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(apply));
  apply();
})();
