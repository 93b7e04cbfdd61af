// The pages of the shop by their addresses. `needsAccount` leads guests to the sign-in and back.

export const ROUTES = [
  { path: "/", load: () => import("./pages/home.js"), title: "page.home" },
  { path: "/search", load: () => import("./pages/search.js"), title: "page.search" },
  { path: "/book/:id", load: () => import("./pages/book.js") },

  // Cart, checkout and purchases.

  // Favourites, wishlist and account.
];
