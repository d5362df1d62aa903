import type { DefaultTheme } from "vitepress";
import { groups } from "../build/groups.js";

export const sidebar: DefaultTheme.SidebarItem[] = [
  { text: "Playground", link: "/playground" },
  ...groups.map(([text, pages]) => ({
    text,
    collapsed: false,
    items: pages.map(([title, path]) => ({ text: title, link: `/${path.replace(/(index|README)$/, "")}` })),
  })),
];
