// Draws the diagrams of a document in the colours of the page.
(() => {
  const diagrams = [...document.querySelectorAll("pre.mermaid")].map((box) => [box, box.textContent]);
  const draw = () => {
    const dark = getComputedStyle(document.documentElement).getPropertyValue("--is-dark").trim() === "1";
    mermaid.initialize({ startOnLoad: false, theme: dark ? "dark" : "neutral", securityLevel: "strict", fontFamily: "inherit" });
    for (const [box, text] of diagrams) {
      delete box.dataset.processed;
      box.textContent = text;
    }
    return mermaid.run({ nodes: diagrams.map(([box]) => box) });
  };
  // One after the other: a drawing that is begun is ended first.
  let drawn = draw();
  onScheme(() => { drawn = drawn.then(draw); });
})();
