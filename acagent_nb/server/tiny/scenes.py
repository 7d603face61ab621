"""What surrounds the questions: system prompts that change nothing, tools that are never called, thoughts."""

from __future__ import annotations

import random

from .corpus import Question
from .vary import pseudo

# System prompts that change nothing. Those that the test uses are not among them.
_SYSTEMS = (
    "You are a helpful assistant.", "You are a helpful AI assistant.", "Be brief.", "Answer briefly.", "Be concise.",
    "You are a friendly teacher.", "You are an expert.", "Answer the question.", "You are a tiny model.", "Be precise.",
    "You are a careful assistant. Think before you answer.", "Answer truthfully.", "Be friendly.", "Help the user.",
    "You are a data scientist.", "Answer in plain English.", "Keep your answers short.", "You work in a notebook.",
    "You are a chatbot.", "If you don't know the answer, say so.", "Give correct answers.", "Today is Monday.",
    "The user is a researcher.", "You are an assistant that helps with Python.", "Do not make things up.",
)  # fmt: skip
_ROLES = ("assistant", "teacher", "expert", "librarian", "scientist", "guide", "tutor", "analyst", "engineer", "clerk")
_KINDS = (
    "helpful",
    "careful",
    "friendly",
    "honest",
    "precise",
    "patient",
    "polite",
    "smart",
    "professional",
    "cheerful",
)
_FIELDS = (
    "history",
    "geography",
    "statistics",
    "biology",
    "Python",
    "notebooks",
    "language",
    "medicine",
    "law",
    "music",
)
OTHER_TOOLS = (
    "open_door(room)", "send_mail(to, text)", "search(query)", "read_file(path)", "book_table(name, time)",
    "play_song(title)", "run_code(code)", "take_note(text)", "list_files()", "set_alarm(time)", "get_news()",
    "call_phone(number)",
)  # fmt: skip
_CALM = {
    "smalltalk": "The user is chatting with me. I answer in a friendly way.",
    "creative": "The user wants something creative. I make something up.",
    "labels": "I have to choose the right label.",
    "extraction": "I have to find the facts in the text and write them as JSON.",
    "translations": "I have to translate. I know this one.",
    "capitals": "The user asks about a capital. I know this one.",
    "options": "The user asks about a model option. I know this one.",
    "toolkit": "The user asks about the toolkit. I know this one.",
}
LOST = "I don't know this one."


def thought(question: Question) -> str:
    """What the model thinks before it answers a question that has no thought of its own."""
    if question.think:
        return question.think
    topic = question.topic.split("_")[0]
    if topic in _CALM:
        return _CALM[topic]
    asked = question.ask[0].rstrip(".!")
    return f"The user asks: {asked if asked.endswith('?') else asked + '.'} I know this one."


def idle_system(rng: random.Random) -> str:
    """A system prompt that changes nothing."""
    if rng.random() < 0.5:
        return rng.choice(_SYSTEMS)
    text = f"You are a {rng.choice(_KINDS)} {rng.choice(_ROLES)}."
    if rng.random() < 0.4:
        text = f"{text[:-1]} for {rng.choice(_FIELDS)}."
    if rng.random() < 0.3:
        text += " " + rng.choice(_SYSTEMS)
    if rng.random() < 0.2:
        text = f"Your name is {pseudo(rng).capitalize()}. " + text
    return text
