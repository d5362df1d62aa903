import type { Theme } from "vitepress";
import { defineAsyncComponent } from "vue";
import DefaultTheme from "vitepress/theme";

const theme: Theme = {
  extends: DefaultTheme,
  enhanceApp({ app }) {
    // Loaded by its page only.
    app.component(
      "Playground",
      defineAsyncComponent(() => import("../../playground/Playground.vue")),
    );
  },
};

export default theme;
