// Before the first paint: the theme and the language that were chosen, so that nothing flashes.
(() => {
  const root = document.documentElement;
  const theme = localStorage.getItem("comanda.theme");
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  root.lang = localStorage.getItem("comanda.language") || (navigator.language.startsWith("es") ? "es" : "en");
})();
