// The pictures that only the dashboard shows.

export const ICONS = {
  overview: "M4 13h6V4H4zM14 20h6v-9h-6zM14 8h6V4h-6zM4 20h6v-4H4z",
  orders: "M6 3h12v18l-3-2-3 2-3-2-3 2zM9 8h6M9 12h6",
  inventory: "M3 8l9-5 9 5v8l-9 5-9-5zM3 8l9 5 9-5M12 13v8",
  tasks: "M4 6l2 2 3-4M4 13l2 2 3-4M4 20l2 2 3-4M12 6h8M12 13h8M12 20h8",
  ranking: "M8 4h8v6a4 4 0 01-8 0zM8 6H4c0 3 1.500 5 4 5M16 6h4c0 3-1.500 5-4 5M12 14v4M8 21h8",
  edit: "M4 20h4L19 9l-4-4L4 16zM13 7l4 4",
  history: "M12 7v5l3 2M4 12a8 8 0 1 0 2-5.300M4 4v4h4",
  upload: "M12 16V4M7 9l5-5 5 5M4 16v4h16v-4",
  gear: "M12 3v3M12 18v3M3 12h3M18 12h3M5.600 5.600l2.100 2.100M16.300 16.300l2.100 2.100M18.400 5.600l-2.100 2.100M7.700 16.300l-2.100 2.100M12 8a4 4 0 100 8 4 4 0 000-8z",
};
