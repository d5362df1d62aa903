import type { DefaultTheme } from "vitepress";
import { groups } from "../build/groups.js";
import { urlOf } from "../build/llms.js";

export const sidebar: DefaultTheme.SidebarItem[] = [
  { text: "Playground", link: "/playground" },
  ...groups.map(([text, pages]) => ({
    text,
    collapsed: false,
    items: pages.map(([title, path]) => ({ text: title, link: urlOf(path) })),
  })),
];
