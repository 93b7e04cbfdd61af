// The pages of the shop by their addresses. `needsAccount` leads guests to the sign-in and back, and
// `forGuests` customers to their account.

export const ROUTES = [
  { path: "/", load: () => import("./pages/home.js"), title: "page.home" },
  { path: "/search", load: () => import("./pages/search.js"), title: "page.search" },
  { path: "/book/:id", load: () => import("./pages/book.js") },

  { path: "/cart", load: () => import("./pages/cart.js"), title: "page.cart" },
  { path: "/checkout", load: () => import("./pages/checkout.js"), title: "page.checkout", needsAccount: true },
  { path: "/purchases", load: () => import("./pages/purchases.js"), title: "page.purchases", needsAccount: true },
  { path: "/purchases/:id", load: () => import("./pages/purchase.js"), title: "page.purchase", needsAccount: true },

  { path: "/favourites", load: () => import("./pages/favourites.js"), title: "page.favourites", needsAccount: true },
  { path: "/wishlist", load: () => import("./pages/wishlist.js"), title: "page.wishlist", needsAccount: true },
  { path: "/notices", load: () => import("./pages/notices.js"), title: "page.notices", needsAccount: true },
  { path: "/account", load: () => import("./pages/account.js"), title: "page.account", needsAccount: true },
  { path: "/login", load: () => import("./pages/login.js"), title: "page.login", forGuests: true },
  { path: "/register", load: () => import("./pages/register.js"), title: "page.register", forGuests: true },
  { path: "/password", load: () => import("./pages/password.js"), title: "page.password" },

  { path: "/*", load: () => import("./missing.js"), title: "page.missing" },
];
