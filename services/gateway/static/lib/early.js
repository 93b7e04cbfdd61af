// Before the first paint: the theme and the language that were chosen, so that nothing flashes. The texts in that
// language are asked for at once.
(() => {
  const root = document.documentElement;
  const theme = localStorage.getItem("comanda.theme");
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  root.lang = localStorage.getItem("comanda.language") || (navigator.language.startsWith("es") ? "es" : "en");
  const { src, dataset } = document.currentScript;
  for (const area of ["lib", dataset.app]) {
    const link = document.createElement("link");
    link.rel = "modulepreload";
    link.href = new URL(`../${area}/texts/${root.lang}.js`, src);
    document.head.append(link);
  }
})();
