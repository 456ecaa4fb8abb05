import { mount } from "svelte";
import App from "./App.svelte";
import "./tokens.css";
import { studio } from "./view/studio.svelte";

studio.start();
const target = document.getElementById("studio");
if (target) mount(App, { target });
