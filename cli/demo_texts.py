"""Texts of the demo data: reports of faults, and comments on them."""

from __future__ import annotations

from typing import NamedTuple

from domain.ticket import Priority


class Report(NamedTuple):
    """A fault as a tenant reports it. `{room}` is a placeholder."""

    category: str
    priority: Priority
    title: str
    description: str


ROOMS = ("bathroom", "kitchen", "hallway", "bedroom", "living room", "laundry room")

REPORTS = (
    Report(
        "plumbing", "high", "Water leak in {room}", "There is water leaking from the ceiling in the {room}."
    ),
    Report(
        "plumbing",
        "medium",
        "Blocked drain in {room}",
        "Water stands in the {room} and takes hours to drain.",
    ),
    Report(
        "plumbing",
        "low",
        "Dripping tap in {room}",
        "The tap in the {room} drips all night, about once a second.",
    ),
    Report(
        "plumbing",
        "high",
        "No hot water",
        "The hot water has been out since this morning; cold runs as usual.",
    ),
    Report("plumbing", "medium", "Toilet keeps running", "After flushing the cistern does not stop filling."),
    Report(
        "electrical",
        "critical",
        "Sparks from socket in {room}",
        "The socket sparked. The breaker is off now.",
    ),
    Report("electrical", "high", "No power in {room}", "Lights and sockets in the {room} went out together."),
    Report(
        "electrical", "low", "Flickering light in {room}", "The ceiling light flickers, with a new bulb too."
    ),
    Report(
        "electrical",
        "medium",
        "Breaker trips",
        "The breaker trips when the oven and the washer run together.",
    ),
    Report(
        "heating",
        "high",
        "Radiator cold in {room}",
        "The radiator in the {room} stays cold on every setting.",
    ),
    Report(
        "heating", "medium", "Thermostat shows no reading", "The display is blank; new batteries do not help."
    ),
    Report(
        "heating",
        "critical",
        "Smell of gas near boiler",
        "We smell gas near the boiler and have aired the room.",
    ),
    Report(
        "air-conditioning",
        "medium",
        "AC blows warm air",
        "It has been warm since the weekend, filter cleaned.",
    ),
    Report(
        "air-conditioning", "low", "AC rattles in {room}", "The unit rattles when it starts, then calms down."
    ),
    Report(
        "appliances", "medium", "Dishwasher does not drain", "Dirty water stays in the bottom after each run."
    ),
    Report("appliances", "medium", "Refrigerator too warm", "It shows 12 degrees on the coldest setting."),
    Report("appliances", "low", "Oven door does not close", "The hinge on the left is bent; heat escapes."),
    Report("locks", "high", "Front door lock jams", "The key turns only after several tries."),
    Report(
        "locks",
        "medium",
        "Window in {room} cannot be locked",
        "The handle turns freely and the window opens.",
    ),
    Report("pest-control", "medium", "Ants in {room}", "A trail of ants comes in along the skirting board."),
    Report(
        "pest-control",
        "high",
        "Mice heard in the wall of the {room}",
        "Scratching at night; droppings found.",
    ),
    Report(
        "common-areas", "low", "Stairwell light out", "The light between the second and third floor is out."
    ),
    Report(
        "common-areas", "medium", "Elevator stops between floors", "It stopped for a minute, twice this week."
    ),
    Report(
        "common-areas", "high", "Garage gate stays open", "The gate does not close and anyone can walk in."
    ),
    Report(
        "structural",
        "medium",
        "Crack in wall of {room}",
        "The crack above the door is now as wide as a coin.",
    ),
    Report(
        "structural", "high", "Roof leaks in heavy rain", "Rain comes in at the corner; a bucket is below it."
    ),
    Report("painting", "low", "Paint peels in {room}", "Paint comes off in flakes around the window."),
    Report("general", "low", "Mailbox key lost", "I lost the key of the mailbox and need a second one."),
)

STAFF_COMMENTS = (
    "I'll check this out this afternoon.",
    "The part is ordered and should be here in two days.",
    "I was at the door today and found no one in. When suits you?",
    "Fixed for now; please tell us if it comes back.",
    "A contractor comes on Thursday between 9 and 12.",
    "I have shut the valve so that nothing more is damaged.",
)
GUEST_COMMENTS = (
    "Thank you. I am at home after 5 pm.",
    "It has become worse since yesterday.",
    "You may use your key if I am out.",
    "That worked, thank you very much.",
    "Could someone please tell me when this will be done?",
)
INTERNAL_COMMENTS = (
    "Third report from this unit this year: look at the riser.",
    "Contractor's quote is 340; approved.",
    "Still under warranty: send the bill to the installer.",
    "Ask the neighbours above before opening the ceiling.",
)

# fmt: off
PLACE_NAMES = (
    "Alder", "Birch", "Bay", "Canal", "Cedar", "Central", "Chestnut", "Cliff", "Eastgate", "Elm",
    "Fern", "Garden", "Grove", "Harbour", "Hazel", "Juniper", "Lake", "Linden", "Market", "Meadow",
    "Northgate", "Oak", "Orchard", "Park", "Pine", "Quarry", "River", "Rose", "Spring", "Station",
    "Sunset", "Valley", "Willow",
)
PLACE_KINDS = (
    "Apartments", "Court", "Gardens", "House", "Lofts", "Offices", "Residences", "Terrace", "Tower",
)
STREETS = (
    "Birch Street", "Church Lane", "Harbour Road", "High Street", "Mill Road", "Park Avenue",
    "Station Road",
)
CITIES = (
    "Beachtown", "Riverside", "Highfield", "Lakeview", "Old Bridge", "Northport", "Fairview",
)
FIRST_NAMES = (
    "Adam", "Aisha", "Alice", "Andrei", "Anna", "Bruno", "Carla", "Chen", "Clara", "David", "Dina",
    "Elif", "Emil", "Eva", "Fatima", "Felix", "Gita", "Greta", "Hana", "Henry", "Ida", "Ivan", "Jana",
    "Jonas", "Karim", "Leo", "Lina", "Maria", "Milan", "Nadia", "Noah", "Olga", "Oscar", "Paula",
    "Ravi", "Sara", "Sofia", "Theo", "Vera", "Yusuf",
)
LAST_NAMES = (
    "Adler", "Bauer", "Chopra", "Cruz", "Dubois", "Eriksen", "Fischer", "Garcia", "Gupta", "Hansen",
    "Horvat", "Ito", "Jensen", "Khan", "Kowalski", "Lang", "Lopez", "Marino", "Moreau", "Nguyen",
    "Okafor", "Park", "Petrov", "Reyes", "Ricci", "Sato", "Schmidt", "Silva", "Tanaka", "Turner",
    "Vogel", "Wagner", "Walker", "Wang", "Young", "Zimmer",
)
# fmt: on
