"""Where does the model look? Maps, and how much of them lies in a region."""
