// Draws the diagrams of a document in the colours of the page.
(() => {
  const style = getComputedStyle(document.documentElement);
  const dark = style.getPropertyValue("--is-dark").trim() === "1";
  mermaid.initialize({ startOnLoad: false, theme: dark ? "dark" : "neutral", securityLevel: "strict", fontFamily: "inherit" });
  mermaid.run({ querySelector: "pre.mermaid" });
})();
